"""What every S3 API has in common: how requests are signed and how answers read. Both `fetch` and `send` speak it."""
