"""Shared by all tests. Hypothesis runs without deadlines and derandomised: a run's result depends on the code alone,
never on how busy the machine is."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["object_store_fixture", "postgres_fixture"]

settings.register_profile("streamwarm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("streamwarm")
