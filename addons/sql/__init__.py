"""What the SQL addons share: parse, classify, catalog, lineage, rewrite. Holds no hooks."""
