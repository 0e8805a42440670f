-- The clinic's tables, as the role that owns them. Rows follow as COPY (gateway.demo.patients).
-- Every person in them is invented: see gateway/demo/patients.py for where each kind of value comes from.

CREATE TABLE departments (
    id       integer PRIMARY KEY,
    name     text NOT NULL UNIQUE,
    floor    integer NOT NULL,
    beds     integer NOT NULL
);

CREATE TABLE providers (
    id            integer PRIMARY KEY,
    npi           text NOT NULL UNIQUE,
    name          text NOT NULL,
    department_id integer NOT NULL REFERENCES departments,
    accepting     boolean NOT NULL DEFAULT true
);

CREATE TABLE patients (
    id         integer PRIMARY KEY,
    mrn        text NOT NULL UNIQUE,
    first_name text NOT NULL,
    last_name  text NOT NULL,
    sex        char(1) NOT NULL,
    dob        date NOT NULL,
    ssn        text NOT NULL,
    phone      text NOT NULL,
    email      text,
    street     text NOT NULL,
    city       text NOT NULL,
    state      char(2) NOT NULL,
    zip        text NOT NULL
);

CREATE TABLE encounters (
    id            integer PRIMARY KEY,
    patient_id    integer NOT NULL REFERENCES patients,
    provider_id   integer NOT NULL REFERENCES providers,
    department_id integer NOT NULL REFERENCES departments,
    began         timestamp NOT NULL,
    ended         timestamp NOT NULL,
    icd10         text NOT NULL,
    diagnosis     text NOT NULL,
    charge        numeric(9, 2) NOT NULL,
    notes         text NOT NULL
);

CREATE INDEX ON encounters (patient_id);
CREATE INDEX ON encounters (began);
CREATE INDEX ON patients (last_name, first_name);

-- Masking has to see through these two: they hold columns of `patients` under other names.
CREATE VIEW patient_directory AS
    SELECT id, last_name || ', ' || first_name AS name, dob AS born, phone AS contact, city
    FROM patients;

CREATE VIEW recent_encounters AS
    SELECT e.id, e.began, d.name AS department, p.name AS patient, p.contact, e.diagnosis
    FROM encounters e
    JOIN departments d ON d.id = e.department_id
    JOIN patient_directory p ON p.id = e.patient_id
    WHERE e.began >= timestamp '2025-06-01';

CREATE VIEW department_load AS
    SELECT d.name AS department, count(*) AS encounters, sum(e.charge) AS charged
    FROM encounters e JOIN departments d ON d.id = e.department_id
    GROUP BY d.name;
