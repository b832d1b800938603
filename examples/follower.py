"""A consumer: follows every change of the table `readings` with the DynamoDB Streams protocol.

    pip install boto3
    AWS_ENDPOINT_URL=http://127.0.0.1:8000 python3 follower.py [end after so many changes; default: never]

Reads all shards from their beginning, then goes on as changes happen.
"""

import os
import sys
import time

import boto3

endpoint = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:8000")
left = int(sys.argv[1]) if len(sys.argv) > 1 else float("inf")

streams = boto3.client(
    "dynamodbstreams", endpoint_url=endpoint, region_name="local", aws_access_key_id="any", aws_secret_access_key="any"
)
arn = streams.list_streams(TableName="readings")["Streams"][0]["StreamArn"]

iterators = {}
while left > 0:
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        if shard["ShardId"] not in iterators:
            start = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            iterators[shard["ShardId"]] = start["ShardIterator"]
    told = 0
    for shard, iterator in iterators.items():
        if iterator is None:  # a closed shard, read to its end
            continue
        page = streams.get_records(ShardIterator=iterator)
        iterators[shard] = page.get("NextShardIterator")
        for record in page["Records"]:
            print(record["eventName"], record["dynamodb"]["Keys"], record["dynamodb"].get("NewImage"), flush=True)
            told += 1
    left -= told
    if told == 0:
        time.sleep(0.2)
