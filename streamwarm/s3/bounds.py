"""The sizes that S3 allows, and the keys that streamwarm reserves in a bucket. Pure."""

MIB = 1 << 20

LEAST_PART_BYTES = 5 * MIB
MOST_PART_BYTES = 5 << 30
MOST_PARTS = 10_000
MOST_BYTES = 5 << 40
"""S3's limits, and R2's (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html,
https://developers.cloudflare.com/r2/platform/limits/): parts of 5 MiB to 5 GiB, 10,000 of them, an object of 5 TiB."""

TRACES = ".streamwarm/uploads/"
"""The prefix of the notes about multipart uploads in a destination's bucket. No object's key may begin with it."""
