//! The AWS SDK for Rust, as applications use it: typed items, errors as enums, paginators, PartiQL, streams. Prints what it has
//! found as JSON. Only `AWS_ENDPOINT_URL_DYNAMODB` and `..._STREAMS` say where.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
};

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        get_item::GetItemError, put_item::PutItemError, query::builders::QueryFluentBuilder,
        transact_write_items::TransactWriteItemsError,
    },
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, BatchStatementRequest, BillingMode, ConditionCheck, Get, KeySchemaElement,
        KeyType, KeysAndAttributes, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType,
        Select, StreamSpecification, StreamViewType, TimeToLiveSpecification, TransactGetItem, TransactWriteItem,
        Update, WriteRequest,
    },
};
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Item = HashMap<String, AttributeValue>;

const TABLE: &str = "orders";
const ORDERS: usize = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let settings = aws_config::from_env().http_client(http).load().await;
    let client = Client::new(&settings);
    let stream = create(&client).await?;
    write_batches(&client).await?;
    let found = BTreeMap::from([
        ("types", types(&client).await?),
        ("paged", paged(&client).await?),
        ("updated", updated(&client).await?),
        ("refused", refused(&client).await?),
        ("transacted", transacted(&client).await?),
        ("statements", statements(&client).await?),
        ("expiry", expiry(&client).await?),
        ("events", events(&aws_sdk_dynamodbstreams::Client::new(&settings), &stream).await?),
    ]);
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// Makes the table; answers the ARN of its stream.
async fn create(client: &Client) -> Outcome<String> {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
    let made = client
        .create_table()
        .table_name(TABLE)
        .key_schema(key("customer", KeyType::Hash)?)
        .key_schema(key("number", KeyType::Range)?)
        .attribute_definitions(attribute("customer", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("number", ScalarAttributeType::N)?)
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream.build()?)
        .send()
        .await?;
    let table = made.table_description.ok_or("no description")?;
    Ok(table.latest_stream_arn.ok_or("no stream")?)
}

/// Orders of two customers, and some of them read again.
async fn write_batches(client: &Client) -> Outcome<()> {
    let orders: Vec<usize> = (0..ORDERS).collect();
    for batch in orders.chunks(25) {
        let put = |order: &usize| {
            let item = key(if order % 2 == 0 { "even" } else { "odd" }, *order);
            let put = PutRequest::builder().set_item(Some(item)).item("paid", AttributeValue::Bool(order % 3 == 0));
            Ok(WriteRequest::builder().put_request(put.build()?).build())
        };
        let requests = batch.iter().map(put).collect::<Outcome<Vec<_>>>()?;
        let answer = client.batch_write_item().request_items(TABLE, requests).send().await?;
        check(answer.unprocessed_items.is_none_or(|left| left.is_empty()), "a batch was written whole")?;
    }
    let wanted = [key("even", 0), key("odd", 1), key("nobody", 7)];
    let wanted = KeysAndAttributes::builder().set_keys(Some(wanted.to_vec())).consistent_read(true);
    let answer = client.batch_get_item().request_items(TABLE, wanted.build()?).send().await?;
    let items = answer.responses.and_then(|mut tables| tables.remove(TABLE)).unwrap_or_default();
    check(items.len() == 2, "a batch has the items that are")
}

/// All ten types there and back, and an item that is not.
async fn types(client: &Client) -> Outcome<Value> {
    let texts = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
    let mut item = key("types", 0);
    for (name, value) in [
        ("text", text("ü\u{0}")),
        ("exact", AttributeValue::N("12345678901234567890.123456789012345678".to_owned())),
        ("bytes", AttributeValue::B(Blob::new([0, 255]))),
        ("yes", AttributeValue::Bool(true)),
        ("nothing", AttributeValue::Null(true)),
        ("list", AttributeValue::L(vec![number(1), text(""), AttributeValue::L(Vec::new())])),
        ("map", AttributeValue::M(HashMap::from([("a".to_owned(), AttributeValue::M(HashMap::new()))]))),
        ("texts", AttributeValue::Ss(texts(["p", "q"]))),
        ("numbers", AttributeValue::Ns(texts(["-1", "2.5"]))),
        ("blobs", AttributeValue::Bs(vec![Blob::new([1]), Blob::new([2])])),
    ] {
        item.insert(name.to_owned(), value);
    }
    client.put_item().table_name(TABLE).set_item(Some(item.clone())).send().await?;
    let read = |key| client.get_item().table_name(TABLE).set_key(Some(key)).consistent_read(true).send();
    check(read(key("nobody", 0)).await?.item.is_none(), "what is not there is no item")?;
    Ok(json!(read(key("types", 0)).await?.item == Some(item)))
}

/// Numbers by pages of 7, forwards and backwards, the count alone, and everything by segments.
async fn paged(client: &Client) -> Outcome<Value> {
    let query = || -> QueryFluentBuilder {
        client
            .query()
            .table_name(TABLE)
            .key_condition_expression("#c = :c AND #n BETWEEN :low AND :high")
            .expression_attribute_names("#c", "customer")
            .expression_attribute_names("#n", "number")
            .expression_attribute_values(":c", text("odd"))
            .expression_attribute_values(":low", number(10))
            .expression_attribute_values(":high", number(40))
    };
    let mut pages = query().limit(7).into_paginator().send();
    let (mut numbers, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.try_next().await? {
        count += 1;
        numbers.extend(page.items().iter().map(order).collect::<Outcome<Vec<_>>>()?);
    }
    let backwards: Vec<Item> =
        query().scan_index_forward(false).into_paginator().items().send().collect::<Result<_, _>>().await?;
    let last = backwards.first().map(order).transpose()?;
    let counted = query().select(Select::Count).send().await?;
    let mut scanned = 0;
    for segment in 0..3 {
        let scan = client.scan().table_name(TABLE).segment(segment).total_segments(3).limit(4);
        let items: Vec<Item> = scan.into_paginator().items().send().collect::<Result<_, _>>().await?;
        scanned += items.len();
    }
    Ok(json!({ "pages": count, "numbers": numbers, "last": last, "counted": counted.count, "scanned": scanned }))
}

/// What an update answers.
async fn updated(client: &Client) -> Outcome<Value> {
    let answer = client
        .update_item()
        .table_name(TABLE)
        .set_key(Some(key("even", 2)))
        .update_expression("SET visits = if_not_exists(visits, :zero) + :one ADD tags :tags REMOVE paid")
        .expression_attribute_values(":zero", number(0))
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":tags", AttributeValue::Ss(vec!["new".to_owned()]))
        .return_values(ReturnValue::AllNew)
        .send()
        .await?;
    let item = answer.attributes.ok_or("no attributes")?;
    let names: BTreeMap<_, _> = item.iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
    Ok(json!(names))
}

/// Errors arrive as what they are.
async fn refused(client: &Client) -> Outcome<Value> {
    let put = client
        .put_item()
        .table_name(TABLE)
        .set_item(Some(key("even", 4)))
        .condition_expression("attribute_not_exists(customer)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let condition = match put.send().await.map_err(SdkError::into_service_error) {
        Err(PutItemError::ConditionalCheckFailedException(failed)) => {
            json!([failed.message(), failed.item().map(order).transpose()?])
        }
        other => return Err(format!("not a failed condition: {other:?}").into()),
    };
    let get = client.get_item().table_name("none").set_key(Some(key("a", 0)));
    let absent = match get.send().await.map_err(SdkError::into_service_error) {
        Err(GetItemError::ResourceNotFoundException(absent)) => json!(absent.message()),
        other => return Err(format!("not an absent table: {other:?}").into()),
    };
    let query = client.query().table_name(TABLE).key_condition_expression("customer =");
    let invalid = query.send().await.map_err(SdkError::into_service_error).err().ok_or("an answer")?;
    Ok(json!({ "condition": condition, "absent": absent, "invalid": invalid.meta().code() }))
}

/// Transactions that happen, once, and one that does not, with its reasons.
async fn transacted(client: &Client) -> Outcome<Value> {
    let visit = |customer: &str, order| {
        let update = Update::builder()
            .table_name(TABLE)
            .set_key(Some(key(customer, order)))
            .update_expression("ADD visits :one")
            .expression_attribute_values(":one", number(1));
        Ok::<_, Box<dyn Error>>(TransactWriteItem::builder().update(update.build()?).build())
    };
    for _ in 0..2 {
        let both = client.transact_write_items().transact_items(visit("even", 6)?).transact_items(visit("odd", 7)?);
        both.client_request_token("once").send().await?;
    }
    let absent = ConditionCheck::builder()
        .table_name(TABLE)
        .set_key(Some(key("nobody", 0)))
        .condition_expression("attribute_exists(customer)");
    let absent = TransactWriteItem::builder().condition_check(absent.build()?).build();
    let neither = client.transact_write_items().transact_items(visit("even", 6)?).transact_items(absent);
    let reasons = match neither.send().await.map_err(SdkError::into_service_error) {
        Err(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            json!(cancelled.cancellation_reasons().iter().map(|reason| reason.code()).collect::<Vec<_>>())
        }
        other => return Err(format!("not cancelled: {other:?}").into()),
    };
    let get = |customer, order| {
        let get = Get::builder().table_name(TABLE).set_key(Some(key(customer, order)));
        Ok::<_, Box<dyn Error>>(TransactGetItem::builder().get(get.build()?).build())
    };
    let read =
        client.transact_get_items().transact_items(get("even", 6)?).transact_items(get("odd", 7)?).send().await?;
    let visits = read.responses().iter().map(|one| numeral(one.item(), "visits")).collect::<Outcome<Vec<_>>>()?;
    Ok(json!({ "reasons": reasons, "visits": visits }))
}

/// PartiQL: a change, pages of a selection, and a batch of which one fails.
async fn statements(client: &Client) -> Outcome<Value> {
    let change = client
        .execute_statement()
        .statement(format!("UPDATE \"{TABLE}\" SET paid = ? WHERE customer = ? AND number = ?"))
        .set_parameters(Some(vec![AttributeValue::Bool(true), text("odd"), number(49)]));
    change.send().await?;
    let select = format!("SELECT number FROM \"{TABLE}\" WHERE customer = ? AND number > ?");
    let (mut numbers, mut token) = (Vec::new(), None);
    loop {
        let page = client.execute_statement().statement(&select).parameters(text("odd")).parameters(number(40));
        let page = page.limit(2).set_next_token(token).send().await?;
        numbers.extend(page.items().iter().map(order).collect::<Outcome<Vec<_>>>()?);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let one = |text: String| BatchStatementRequest::builder().statement(text).build();
    let batch = client
        .batch_execute_statement()
        .statements(one(format!("INSERT INTO \"{TABLE}\" VALUE {{'customer': 'even', 'number': 60}}"))?)
        .statements(one(format!("INSERT INTO \"{TABLE}\" VALUE {{'customer': 'even', 'number': 8}}"))?)
        .send()
        .await?;
    let codes: Vec<_> = batch.responses().iter().map(|one| one.error().and_then(|error| error.code())).collect();
    let codes: Vec<_> = codes.iter().map(|code| code.map(|code| code.as_str())).collect();
    Ok(json!({ "numbers": numbers, "codes": codes }))
}

/// Time to live, as it is set and told; the order that is over goes.
async fn expiry(client: &Client) -> Outcome<Value> {
    let setting = TimeToLiveSpecification::builder().attribute_name("until").enabled(true).build()?;
    client.update_time_to_live().table_name(TABLE).time_to_live_specification(setting).send().await?;
    let told = client.describe_time_to_live().table_name(TABLE).send().await?;
    let told = told.time_to_live_description.ok_or("no description")?;
    let over = client.put_item().table_name(TABLE).set_item(Some(key("over", 0)));
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    over.item("until", AttributeValue::N((now_s - 1).to_string())).send().await?;
    Ok(json!([told.time_to_live_status.map(|status| status.as_str().to_owned()), told.attribute_name]))
}

/// What the stream tells, by the names of its events, until the expiry of an order is told.
async fn events(client: &aws_sdk_dynamodbstreams::Client, stream: &str) -> Outcome<Value> {
    let described = client.describe_stream().stream_arn(stream).send().await?;
    let shards = described.stream_description.ok_or("no description")?.shards.unwrap_or_default();
    let mut iterators = Vec::new();
    for shard in &shards {
        let start = client.get_shard_iterator().stream_arn(stream).set_shard_id(shard.shard_id.clone());
        let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
        iterators.push(start.shard_iterator.ok_or("no iterator")?);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        for iterator in &mut iterators {
            let page = client.get_records().shard_iterator(iterator.as_str()).send().await?;
            for record in page.records() {
                let name = record.event_name().ok_or("no name")?.as_str();
                let by = record.user_identity().and_then(|user| user.principal_id());
                let name = by.map_or(name.to_owned(), |by| format!("{name} by {by}"));
                *counts.entry(name).or_default() += 1;
                let change = record.dynamodb().ok_or("no change")?;
                check(change.keys().is_some() && change.sequence_number().is_some(), "a record has its place")?;
            }
            *iterator = page.next_shard_iterator.ok_or("an open shard ended")?;
        }
        if counts.keys().any(|name| name.contains(" by ")) {
            return Ok(json!(counts));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: usize) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn key(customer: &str, order: usize) -> Item {
    HashMap::from([("customer".to_owned(), text(customer)), ("number".to_owned(), number(order))])
}

/// The number of an order.
fn order(item: &Item) -> Outcome<u64> {
    numeral(Some(item), "number")
}

fn numeral(item: Option<&Item>, name: &str) -> Outcome<u64> {
    let value = item.and_then(|item| item.get(name)).ok_or("an attribute is missing")?;
    Ok(value.as_n().map_err(|_| "not a number")?.parse()?)
}

fn check(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("it is not so that {what}").into()) }
}
