//! The DynamoDB and DynamoDB Streams wire protocol, and the HTTP server.
