# What gateway/notary/kernel.py and signing.py call through an address, as the compiler must know it. Sources: OpenSSL's EVP_DigestInit(3),
# EVP_EncryptInit(3), the same from 1.1.1 on; libsodium's crypto_sign.h; statx(2).

ctypedef void *(*new_context)() noexcept
ctypedef const void *(*algorithm)() noexcept
ctypedef int (*digest_init)(void *context, const void *kind, void *engine) noexcept
ctypedef int (*digest_update)(void *context, const void *data, size_t length) noexcept
ctypedef int (*digest_final)(void *context, unsigned char *out, unsigned int *length) noexcept
ctypedef int (*encrypt_init)(void *context, const void *kind, void *engine, const unsigned char *key, const unsigned char *nonce) noexcept
ctypedef int (*encrypt_update)(void *context, unsigned char *out, int *done, const unsigned char *data, int length) noexcept
ctypedef int (*encrypt_final)(void *context, unsigned char *out, int *done) noexcept
ctypedef int (*encrypt_control)(void *context, int what, int number, void *data) noexcept
ctypedef int (*file_status)(int folder, const char *path, int flags, unsigned int wanted, void *found) noexcept
ctypedef int (*starting)() noexcept
ctypedef int (*key_pair)(unsigned char *public, unsigned char *secret) noexcept
ctypedef int (*signing)(unsigned char *out, unsigned long long *length, const unsigned char *data, unsigned long long count, const unsigned char *secret) noexcept
