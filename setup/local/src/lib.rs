//! The local cloud: Lambda's Runtime API and Invoke, the DynamoDB calls that Baton makes, and the function's processes.
