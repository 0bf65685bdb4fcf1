"""An object store for one test: moto's, on a port of its own, with a bucket and somebody who may use it.

usage: s3.py BUCKET   prints its URL, a key's name and the key; checks signatures until a line comes in
"""
import json
import sys

import boto3
from moto import settings
from moto.core.responses import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
nobody = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
boto3.client("s3", endpoint_url=url, **nobody).create_bucket(Bucket=sys.argv[1])
iam = boto3.client("iam", endpoint_url=url, **nobody)
iam.create_user(UserName="pusher")
key = iam.create_access_key(UserName="pusher")["AccessKey"]
allow = {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
iam.put_user_policy(UserName="pusher", PolicyName="all", PolicyDocument=policy)
# Whatever was done so far was not looked at; whatever comes is.
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
ActionAuthenticatorMixin.request_count = 0
print(url, key["AccessKeyId"], key["SecretAccessKey"], flush=True)
sys.stdin.readline()
settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
arn = f"arn:aws:s3:::{sys.argv[1]}/*"
anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn}
policy = json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
s3 = boto3.client("s3", endpoint_url=url, **nobody)
s3.put_bucket_policy(Bucket=sys.argv[1], Policy=policy)
print("open", flush=True)
sys.stdin.read()
