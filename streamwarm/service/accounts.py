"""Adopts records at the start, and says whose they are: a reference works for the account alone that made it."""

from __future__ import annotations

from collections.abc import Mapping

from streamwarm.backlog.records import RecordStore
from streamwarm.watch.observations import Observer
from streamwarm.watch.record_news import OtherAccounts, RecordsAdopted


async def adopt_records(store: RecordStore, accounts: Mapping[str, str], observe: Observer) -> None:
    """Give records of an older version the account of their destination. Report how many there were, and each
    destination whose records are all of other accounts. `accounts` are those of the settings, by destination. Raises
    `StoreUnavailable`."""
    if (adopted := await store.adopt_accounts()) > 0:
        observe(RecordsAdopted(adopted))
    for destination, account in accounts.items():
        others = await store.accounts(destination)
        if others and account not in others:
            observe(OtherAccounts(destination, account, ", ".join(others)))
