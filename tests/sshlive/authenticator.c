/*
 * A security key in software, as OpenSSH's SSH_SK_PROVIDER: ed25519 only, the key's handle is its seed.
 * Nobody has to touch it; OSTIARY_TEST_SK_FLAGS says which flags it signs with, and 1 is "somebody was there".
 *
 * Source: OpenSSH PROTOCOL.u2f and sk-api.h, version 0x000a0000. libcrypto's few calls are declared here: no header is needed.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct enrolled {
	uint8_t flags;
	uint8_t *public_key;
	size_t public_key_len;
	uint8_t *key_handle;
	size_t key_handle_len;
	uint8_t *signature;
	size_t signature_len;
	uint8_t *attestation_cert;
	size_t attestation_cert_len;
	uint8_t *authdata;
	size_t authdata_len;
};

struct signed_ {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};

extern int RAND_bytes(unsigned char *, int);
extern void *EVP_sha256(void);
extern int EVP_Digest(const void *, size_t, unsigned char *, unsigned int *, const void *, void *);
extern void *EVP_PKEY_new_raw_private_key(int, void *, const unsigned char *, size_t);
extern int EVP_PKEY_get_raw_public_key(const void *, unsigned char *, size_t *);
extern void *EVP_MD_CTX_new(void);
extern int EVP_DigestSignInit(void *, void **, const void *, void *, void *);
extern int EVP_DigestSign(void *, unsigned char *, size_t *, const unsigned char *, size_t);

enum { ALG_ED25519 = 1, NID_ED25519 = 1087, SEED = 32, PUBLIC = 32, SIGNATURE = 64, DIGEST = 32, FAILED = -1, UNSUPPORTED = -2 };

uint32_t sk_api_version(void)
{
	return 0x000a0000;
}

int sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application, uint8_t flags, const char *pin,
    void **options, struct enrolled **out)
{
	struct enrolled *made = calloc(1, sizeof *made);
	size_t len = PUBLIC;
	void *key;

	if (alg != ALG_ED25519)
		return UNSUPPORTED;
	made->flags = flags;
	made->key_handle = malloc(made->key_handle_len = SEED);
	made->public_key = malloc(made->public_key_len = PUBLIC);
	made->signature = calloc(1, made->signature_len = 1); /* attests nothing */
	if (RAND_bytes(made->key_handle, SEED) != 1)
		return FAILED;
	key = EVP_PKEY_new_raw_private_key(NID_ED25519, NULL, made->key_handle, SEED);
	if (key == NULL || EVP_PKEY_get_raw_public_key(key, made->public_key, &len) != 1)
		return FAILED;
	*out = made;
	return 0;
}

int sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application, const uint8_t *handle, size_t handle_len,
    uint8_t flags, const char *pin, void **options, struct signed_ **out)
{
	struct signed_ *made = calloc(1, sizeof *made);
	const char *said = getenv("OSTIARY_TEST_SK_FLAGS");
	uint8_t text[DIGEST + 5 + DIGEST];
	size_t len = SIGNATURE;
	void *key, *context = EVP_MD_CTX_new();

	if (alg != ALG_ED25519 || handle_len != SEED)
		return UNSUPPORTED;
	made->flags = said ? (uint8_t)atoi(said) : 1;
	made->counter = 7;
	EVP_Digest(application, strlen(application), text, NULL, EVP_sha256(), NULL);
	memcpy(text + DIGEST, (uint8_t[5]){made->flags, 0, 0, 0, 7}, 5);
	EVP_Digest(data, data_len, text + DIGEST + 5, NULL, EVP_sha256(), NULL);
	made->sig_r = malloc(made->sig_r_len = SIGNATURE);
	key = EVP_PKEY_new_raw_private_key(NID_ED25519, NULL, handle, SEED);
	if (key == NULL || EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 || EVP_DigestSign(context, made->sig_r, &len, text, sizeof text) != 1)
		return FAILED;
	*out = made;
	return 0;
}

int sk_load_resident_keys(const char *pin, void **options, void ***keys, size_t *count)
{
	return UNSUPPORTED;
}
