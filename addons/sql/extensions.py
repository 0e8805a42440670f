"""
Functions of well-known extensions that only compute with what they are given, as the server's own on the list do.

Only compiled ones that belong to an extension: making a function in C takes a superuser, and one of another language may read anything.
Source: the manuals of PostgreSQL 18's contrib modules (appendix F). Left out is what reads files, settings, tables or types by name.
"""

from __future__ import annotations

from addons.sql.catalog import Function

_PURE = {
    "pg_trgm": "similarity word_similarity strict_word_similarity show_trgm",
    "fuzzystrmatch": "levenshtein levenshtein_less_equal metaphone soundex text_soundex difference dmetaphone dmetaphone_alt daitch_mokotoff",
    "unaccent": "unaccent",
    "pgcrypto": "digest hmac crypt gen_salt gen_random_bytes gen_random_uuid encrypt decrypt encrypt_iv decrypt_iv armor dearmor",
    "uuid-ossp": """
        uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil uuid_ns_dns uuid_ns_oid
        uuid_ns_url uuid_ns_x500
    """,
    "hstore": """
        hstore akeys avals skeys svals each exist defined slice hs_concat hs_contains hs_contained hstore_to_array hstore_to_matrix
        hstore_to_json hstore_to_json_loose hstore_to_jsonb hstore_to_jsonb_loose tconvert
    """,
    "ltree": "ltree2text text2ltree nlevel subltree subpath lca",
    "intarray": "icount sort sort_asc sort_desc uniq idx subarray intset",
    "cube": "cube cube_dim cube_distance cube_size cube_is_point cube_ll_coord cube_ur_coord cube_subset cube_union cube_inter cube_enlarge",
    "tablefunc": "normal_rand",
}

PURE = frozenset(name for names in _PURE.values() for name in names.split())


def computes(function: Function) -> bool:
    """Whether it is one of them."""
    return function.extension and function.language == "c" and function.name in PURE
