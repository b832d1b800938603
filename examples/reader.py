"""An application: reads the newest readings of a device with the AWS SDK.

    pip install boto3
    AWS_ENDPOINT_URL=http://127.0.0.1:8000 python3 reader.py [device, default sensors/example]

Without keys on the server any credentials do, so any are given here.
"""

import os
import sys

import boto3
from boto3.dynamodb.conditions import Key
from botocore.exceptions import BotoCoreError, ClientError

endpoint = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:8000")
device = sys.argv[1] if len(sys.argv) > 1 else "sensors/example"

dynamodb = boto3.resource(
    "dynamodb", endpoint_url=endpoint, region_name="local", aws_access_key_id="any", aws_secret_access_key="any"
)
try:
    newest = dynamodb.Table("readings").query(
        KeyConditionExpression=Key("device_id").eq(device), ScanIndexForward=False, Limit=5
    )
except dynamodb.meta.client.exceptions.ResourceNotFoundException:
    sys.exit(f"{endpoint} has no table readings yet: publish something first, as device.py does")
except (BotoCoreError, ClientError) as error:
    sys.exit(f"{endpoint}: {error}")
if not newest["Items"]:
    print(f"{device} has no readings")
for item in newest["Items"]:
    print(item)
