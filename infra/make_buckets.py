"""Make the buckets named as arguments, where they are not there yet."""

from __future__ import annotations

import sys

import boto3


def main(names: list[str]) -> None:
    """Ask what is there, add the rest."""
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in sorted(set(names) - there):
        client.create_bucket(Bucket=name)
        print(f"made the bucket {name}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
