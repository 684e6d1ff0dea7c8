"""What every S3 API has in common: signed requests and the XML of answers. `fetch` and `send` both use it."""
