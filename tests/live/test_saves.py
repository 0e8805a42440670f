"""
What ORMs save of rows that they read with masks in them: every column is refused and nothing is changed, the changed column alone passes.
"""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.house import ADA, PATIENCE, House

pytestmark = pytest.mark.live

DJANGO = """
import json, sys
import django
from django.conf import settings
facts = json.loads(sys.stdin.read())
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": facts["dbname"], "USER": facts["user"],
    "PASSWORD": facts["password"], "HOST": facts["host"], "PORT": facts["port"], "OPTIONS": {"sslmode": "disable"}}}, INSTALLED_APPS=[])
django.setup()
from django.db import connection, models, transaction

class Patient(models.Model):
    id = models.IntegerField(primary_key=True)
    name, ssn, dob = models.TextField(), models.TextField(), models.DateField()
    class Meta:
        managed, app_label, db_table = False, "clinic", "patients"

def attempt(save):
    try:
        with transaction.atomic():
            found = Patient.objects.get(pk=3)
            found.name = "renamed"
            save(found)
            print(Patient.objects.get(pk=3).name)
            transaction.set_rollback(True)
    except Exception as error:
        print(error.__cause__.sqlstate, str(error).splitlines()[0])

attempt(lambda found: found.save())
attempt(lambda found: found.save(force_update=True))
attempt(lambda found: Patient.objects.bulk_update([found], ["name", "ssn"]))
attempt(lambda found: Patient.objects.bulk_create([found], update_conflicts=True, unique_fields=["id"], update_fields=["name", "ssn", "dob"]))
attempt(lambda found: found.save(update_fields=["name"]))
attempt(lambda found: Patient.objects.filter(pk=3).update(name="renamed"))
"""


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    ssn: Mapped[str]
    dob: Mapped[str] = mapped_column(sqlalchemy.Date)


def row(house: House) -> tuple[object, ...]:
    with psycopg.connect(house.direct()) as connection:
        return connection.execute("SELECT id, name, ssn, dob FROM patients WHERE id = 3").fetchone()


def test_djangos_save_of_every_column_is_refused_and_corrupts_nothing(house15: House) -> None:
    before = row(house15)
    done = subprocess.run(
        [sys.executable, "-c", DJANGO], input=json.dumps(house15.facts(ADA)), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    *whole, some, queried = done.stdout.splitlines()
    assert len(whole) == 4 and all(line.startswith("42501 ") and "OST-513" in line and "public.patients.ssn" in line for line in whole), whole
    assert (some, queried) == ("renamed", "renamed")
    assert row(house15) == before


def test_sqlalchemys_save_of_every_column_is_refused_and_corrupts_nothing(house15: House) -> None:
    before = row(house15)
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(house15.dsn(ADA)))
    try:
        with Session(engine) as session:
            found = session.get_one(Patient, 3)
            assert found.ssn == "***" and found.dob is None
            found.name = "renamed"
            session.flush()  # the changed column alone
            assert session.scalar(sqlalchemy.select(Patient.name).where(Patient.id == 3)) == "renamed"
            session.rollback()
            read = session.get_one(Patient, 3)
            values = {"id": 3, "name": "renamed", "ssn": read.ssn, "dob": read.dob}
            for save in (
                lambda: session.execute(sqlalchemy.update(Patient), [values]),
                lambda: session.execute(sqlalchemy.update(Patient).where(Patient.id == 3).values(**values)),
                lambda: session.add(Patient(**{**values, "id": 3000, "dob": "1950-01-01"})) or session.flush(),
            ):
                with pytest.raises(sqlalchemy.exc.ProgrammingError, match="OST-513") as caught:
                    save()
                assert caught.value.orig.sqlstate == "42501"
                session.rollback()
    finally:
        engine.dispose()
    assert row(house15) == before
