// The plainest DynamoDB code of the AWS SDK for JavaScript, version 2. Only the endpoint is Thalweg's.
//
//     npm install aws-sdk@2
//     AWS_ENDPOINT_URL=http://127.0.0.1:8000 node document_client.js

const AWS = require('aws-sdk');

AWS.config.update({ region: 'local', accessKeyId: 'any', secretAccessKey: 'any' });
const endpoint = process.env.AWS_ENDPOINT_URL || 'http://127.0.0.1:8000';

const dynamodb = new AWS.DynamoDB({ endpoint });
const documents = new AWS.DynamoDB.DocumentClient({ endpoint });

async function createTable() {
  await dynamodb.createTable({
    TableName: 'Music',
    KeySchema: [
      { AttributeName: 'Artist', KeyType: 'HASH' },
      { AttributeName: 'SongTitle', KeyType: 'RANGE' },
    ],
    AttributeDefinitions: [
      { AttributeName: 'Artist', AttributeType: 'S' },
      { AttributeName: 'SongTitle', AttributeType: 'S' },
    ],
    ProvisionedThroughput: { ReadCapacityUnits: 5, WriteCapacityUnits: 5 },
  }).promise();
}

async function main() {
  await createTable().catch((error) => {
    // It is there already from an earlier run.
    if (error.code !== 'ResourceInUseException') throw error;
  });

  await documents.put({
    TableName: 'Music',
    Item: { Artist: 'No One You Know', SongTitle: 'Call Me Today', Year: 2015, Awards: [1, 2.5], Label: { Name: 'X' } },
  }).promise();

  const answer = await documents.get({
    TableName: 'Music',
    Key: { Artist: 'No One You Know', SongTitle: 'Call Me Today' },
  }).promise();
  console.log(JSON.stringify(answer.Item));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
