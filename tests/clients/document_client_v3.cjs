// The AWS SDK for JavaScript, version 3, as applications use it: the document client, its paginators, and streams. Prints
// what it has found as JSON. Only `AWS_ENDPOINT_URL_DYNAMODB` and `..._STREAMS` say where.

const assert = require('node:assert');
const { DynamoDBClient, CreateTableCommand, waitUntilTableExists } = require('@aws-sdk/client-dynamodb');
const lib = require('@aws-sdk/lib-dynamodb');
const streams = require('@aws-sdk/client-dynamodb-streams');

const settings = { region: 'us-east-1', credentials: { accessKeyId: 'any', secretAccessKey: 'any' } };
const client = new DynamoDBClient(settings);
const documents = lib.DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
const TableName = 'orders';

async function main() {
  const made = await client.send(new CreateTableCommand({
    TableName,
    KeySchema: [{ AttributeName: 'customer', KeyType: 'HASH' }, { AttributeName: 'number', KeyType: 'RANGE' }],
    AttributeDefinitions: [
      { AttributeName: 'customer', AttributeType: 'S' },
      { AttributeName: 'number', AttributeType: 'N' },
      { AttributeName: 'state', AttributeType: 'S' },
    ],
    GlobalSecondaryIndexes: [{
      IndexName: 'by-state',
      KeySchema: [{ AttributeName: 'state', KeyType: 'HASH' }, { AttributeName: 'number', KeyType: 'RANGE' }],
      Projection: { ProjectionType: 'ALL' },
    }],
    BillingMode: 'PAY_PER_REQUEST',
    StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
  }));
  await waitUntilTableExists({ client, maxWaitTime: 60 }, { TableName });

  for (let first = 0; first < 100; first += 25) {
    const requests = Array.from({ length: 25 }, (_, at) => ({
      PutRequest: { Item: { customer: `c${(first + at) % 4}`, number: first + at, state: at % 2 ? 'open' : 'paid', lines: [{ sku: 'a', count: at }] } },
    }));
    const answer = await documents.send(new lib.BatchWriteCommand({ RequestItems: { [TableName]: requests } }));
    assert.deepStrictEqual(answer.UnprocessedItems, {});
  }

  const paged = [];
  const query = {
    TableName, IndexName: 'by-state', Limit: 7, KeyConditionExpression: '#s = :open AND #n BETWEEN :low AND :high',
    ExpressionAttributeNames: { '#s': 'state', '#n': 'number' }, ExpressionAttributeValues: { ':open': 'open', ':low': 10, ':high': 90 },
  };
  for await (const page of lib.paginateQuery({ client: documents }, query)) paged.push(...page.Items.map((item) => item.number));
  let scanned = 0;
  for await (const page of lib.paginateScan({ client: documents, pageSize: 9 }, { TableName })) scanned += page.Items.length;

  const Key = { customer: 'c1', number: 1 };
  const updated = await documents.send(new lib.UpdateCommand({
    TableName, Key, ReturnValues: 'ALL_NEW',
    UpdateExpression: 'SET #l[0].#c = #l[0].#c + :one, tags = :tags REMOVE #s',
    ExpressionAttributeNames: { '#l': 'lines', '#c': 'count', '#s': 'state' },
    ExpressionAttributeValues: { ':one': 1, ':tags': new Set(['x', 'y']) },
  }));
  const refusal = await documents.send(new lib.PutCommand({
    TableName, Item: Key, ConditionExpression: 'attribute_not_exists(customer)', ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  })).catch((error) => error);
  const cancelled = await documents.send(new lib.TransactWriteCommand({
    TransactItems: [
      { Update: { TableName, Key: { customer: 'c2', number: 2 }, UpdateExpression: 'SET #s = :s', ExpressionAttributeNames: { '#s': 'state' }, ExpressionAttributeValues: { ':s': 'gone' } } },
      { ConditionCheck: { TableName, Key: { customer: 'nobody', number: 0 }, ConditionExpression: 'attribute_exists(customer)' } },
    ],
  })).catch((error) => error);
  await documents.send(new lib.DeleteCommand({ TableName, Key: { customer: 'c3', number: 3 } }));

  const reader = new streams.DynamoDBStreamsClient(settings);
  const StreamArn = made.TableDescription.LatestStreamArn;
  const described = await reader.send(new streams.DescribeStreamCommand({ StreamArn }));
  const events = {};
  for (const { ShardId } of described.StreamDescription.Shards) {
    const start = { StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' };
    const { ShardIterator } = await reader.send(new streams.GetShardIteratorCommand(start));
    const { Records } = await reader.send(new streams.GetRecordsCommand({ ShardIterator }));
    for (const { eventName, dynamodb } of Records) {
      assert(dynamodb.ApproximateCreationDateTime instanceof Date);
      events[eventName] = (events[eventName] || 0) + 1;
    }
  }

  console.log(JSON.stringify({
    paged, scanned, events,
    updated: { ...updated.Attributes, tags: [...updated.Attributes.tags].sort() },
    refusal: [refusal.name, refusal.Item],
    cancelled: [cancelled.name, cancelled.CancellationReasons.map((reason) => reason.Code)],
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
