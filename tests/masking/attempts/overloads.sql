-- Overloads that an owner may have made: the server's names for other types. They run after schema.sql, in a database of their own,
-- because masking takes every use of such a name for the owner's.
CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM patients WHERE id = $1';
CREATE FUNCTION abs(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN DELETE FROM scratch; RETURN 'done'; END$$;
CREATE FUNCTION name(departments) RETURNS text LANGUAGE sql STABLE AS 'SELECT max(ssn) FROM patients';
CREATE FUNCTION eq_leak(leaky, int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM patients WHERE id = $2 AND ssn LIKE $1.v)';
CREATE OPERATOR = (LEFTARG = leaky, RIGHTARG = int, FUNCTION = eq_leak);
CREATE OPERATOR ~~ (LEFTARG = leaky, RIGHTARG = int, FUNCTION = eq_leak);
CREATE FUNCTION minus_leak(leaky, int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM patients WHERE id = $2';
CREATE OPERATOR - (LEFTARG = leaky, RIGHTARG = int, FUNCTION = minus_leak);
CREATE FUNCTION step_leak(text, leaky) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM patients WHERE id = 1';
CREATE AGGREGATE max(leaky) (sfunc = step_leak, stype = text);
