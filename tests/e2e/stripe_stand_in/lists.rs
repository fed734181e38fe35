//! Lists: order, pages, filters, expansion.

use super::api::{Api, id, ids};

async fn customers(api: &Api, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for number in 0..count {
        made.push(id(&api.make("/v1/customers", &format!("name=Customer {number}")).await));
    }
    made.reverse();
    made
}

#[tokio::test]
async fn pages_go_both_ways_without_gap_or_overlap() {
    let api = Api::start().await;
    let newest_first = customers(&api, 25).await;

    let first = api.read("/v1/customers", "").await;
    assert_eq!(ids(&first), newest_first[..10], "ten by default, newest first");
    assert_eq!((&first["has_more"], &first["url"]), (&true.into(), &"/v1/customers".into()));

    let next = api.read("/v1/customers", &format!("limit=10&starting_after={}", newest_first[9])).await;
    assert_eq!(ids(&next), newest_first[10..20]);
    let last = api.read("/v1/customers", &format!("limit=10&starting_after={}", newest_first[19])).await;
    assert_eq!(ids(&last), newest_first[20..]);
    assert_eq!(last["has_more"], false);

    let back = api.read("/v1/customers", &format!("limit=5&ending_before={}", newest_first[20])).await;
    assert_eq!(ids(&back), newest_first[15..20], "those nearest to the cursor, still newest first");
    assert_eq!(back["has_more"], true);
    let start = api.read("/v1/customers", &format!("limit=100&ending_before={}", newest_first[3])).await;
    assert_eq!(ids(&start), newest_first[..3]);
    assert_eq!(start["has_more"], false);
    let exact = api.read("/v1/customers", "limit=25").await;
    assert_eq!(exact["has_more"], false, "a page that ends with the list has no more");
}

#[tokio::test]
async fn a_deleted_object_leaves_the_list_and_still_marks_a_place() {
    let api = Api::start().await;
    let newest_first = customers(&api, 4).await;
    let deleted = api.delete(&format!("/v1/customers/{}", newest_first[1])).await;
    assert_eq!((deleted.status, &deleted.json["deleted"]), (200, &true.into()));

    assert_eq!(ids(&api.read("/v1/customers", "").await).len(), 3);
    let after = api.read("/v1/customers", &format!("starting_after={}", newest_first[1])).await;
    assert_eq!(ids(&after), newest_first[2..]);
    let stub = api.read(&format!("/v1/customers/{}", newest_first[1]), "").await;
    assert_eq!(stub, serde_json::json!({ "id": newest_first[1], "object": "customer", "deleted": true }));
    let update = api.post(&format!("/v1/customers/{}", newest_first[1]), "name=Back").await;
    assert_eq!(update.error().1, "resource_missing");
}

#[tokio::test]
async fn created_filters_by_the_second_and_order_follows_the_clock() {
    let api = Api::start().await;
    let mut at = Vec::new();
    for second in [1_700_000_000, 1_700_000_010, 1_700_000_020, 1_700_000_005] {
        api.stripe.set_clock(second);
        at.push(id(&api.make("/v1/customers", "").await));
    }
    let by_time = [&at[2], &at[1], &at[3], &at[0]];
    let all = ids(&api.read("/v1/customers", "").await);
    assert_eq!(all.iter().collect::<Vec<_>>(), by_time, "an object made at an earlier second sorts there");

    for (filter, expected) in [
        ("created[gte]=1700000005", 3),
        ("created[gt]=1700000005", 2),
        ("created[lte]=1700000005", 2),
        ("created[lt]=1700000005", 1),
        ("created=1700000010", 1),
        ("created[gt]=1700000000&created[lt]=1700000020", 2),
        ("created[gt]=1700000020&created[lt]=1700000000", 0),
    ] {
        assert_eq!(ids(&api.read("/v1/customers", filter).await).len(), expected, "{filter}");
    }
}

#[tokio::test]
async fn filters_combine_and_follow_changes() {
    let api = Api::start().await;
    let product = id(&api.make("/v1/products", "name=Course").await);
    let other = id(&api.make("/v1/products", "name=Ticket").await);
    let mut prices = Vec::new();
    for (product, currency, key) in [(&product, "usd", "a"), (&product, "eur", "b"), (&other, "usd", "c")] {
        let form = format!("product={product}&currency={currency}&unit_amount=100&lookup_key={key}");
        prices.push(id(&api.make("/v1/prices", &form).await));
    }
    let list = async |form: String| ids(&api.read("/v1/prices", &form).await);
    assert_eq!(list(format!("product={product}")).await, [prices[1].clone(), prices[0].clone()]);
    assert_eq!(list(format!("product={product}&currency=usd")).await, [prices[0].clone()]);
    assert_eq!(list("lookup_keys[]=a&lookup_keys[]=c".into()).await, [prices[2].clone(), prices[0].clone()]);

    api.make(&format!("/v1/prices/{}", prices[0]), "active=false").await;
    assert_eq!(list(format!("product={product}&active=true")).await, [prices[1].clone()]);
    assert_eq!(list("active=false".into()).await, [prices[0].clone()]);
    assert_eq!(ids(&api.read("/v1/products", &format!("ids[]={other}")).await), [other]);
}

#[tokio::test]
async fn events_filter_by_types_and_delivery() {
    let api = Api::start().await;
    api.course_price().await;
    let customer = api.make("/v1/customers", "email=a@example.com").await;
    api.make(&format!("/v1/customers/{}", id(&customer)), "name=Ann").await;

    let types = async |form: &str| {
        let list = api.read("/v1/events", form).await;
        let data = list["data"].as_array().expect("data").clone();
        data.iter().map(|event| event["type"].as_str().expect("type").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types("").await, ["customer.updated", "customer.created", "price.created", "product.created"]);
    assert_eq!(types("type=price.created").await, ["price.created"]);
    assert_eq!(types("type=customer.*").await, ["customer.updated", "customer.created"]);
    assert_eq!(
        types("types[]=product.created&types[]=customer.created").await,
        ["customer.created", "product.created"]
    );
    assert_eq!(types("delivery_success=false").await, Vec::<String>::new(), "nobody waits for them");
    let many: String = (0..21).map(|n| format!("types[]=t{n}.x&")).collect();
    assert_eq!(api.get("/v1/events", &many).await.status, 400);

    let updated = &api.stripe.events()[3];
    assert_eq!(updated["data"]["previous_attributes"], serde_json::json!({ "name": null }));
    assert_eq!(api.read(&format!("/v1/events/{}", id(updated)), "").await, *updated);
}

#[tokio::test]
async fn expansion_replaces_ids_in_objects_and_lists() {
    let api = Api::start().await;
    let price = api.course_price().await;
    let session = api.session(&price, 2, "&customer_creation=always").await;
    let session_id = id(&session);
    api.stripe.complete_checkout(&session_id, stack::stripe::Outcome::Paid).expect("it is open");
    assert!(session.get("line_items").is_none(), "line items come only when asked for");

    let path = format!("/v1/checkout/sessions/{session_id}");
    let form = "expand[]=customer&expand[]=payment_intent.latest_charge.balance_transaction&expand[]=line_items.data.price.product";
    let full = api.read(&path, form).await;
    assert_eq!(full["customer"]["object"], "customer");
    assert_eq!(full["payment_intent"]["latest_charge"]["balance_transaction"]["fee"], 314);
    assert_eq!(full["line_items"]["data"][0]["price"]["product"]["name"], "Course");
    assert_eq!(full["line_items"]["data"][0]["quantity"], 2);

    let items = api.read(&format!("{path}/line_items"), "expand[]=data.price.product").await;
    assert_eq!(items["data"][0]["price"]["product"]["metadata"]["recoup_kind"], "course");
    let charges = api.read("/v1/charges", "expand[]=data.customer&expand[]=data.refunds").await;
    assert_eq!(charges["data"][0]["customer"]["id"], full["customer"]["id"]);
    assert_eq!(charges["data"][0]["refunds"]["data"], serde_json::json!([]));

    for (path, form) in [
        (path.as_str(), "expand[]=status"),
        ("/v1/charges", "expand[]=customer"),
        ("/v1/events", "expand[]=data.data"),
        (path.as_str(), "expand[]=a.b.c.d.e"),
    ] {
        let refused = api.get(path, form).await;
        assert_eq!((refused.status, refused.error().3), (400, "expand"), "{form}: {}", refused.text);
    }
    // A deleted customer expands to its stub.
    api.delete(&format!("/v1/customers/{}", id(&full["customer"]))).await;
    assert_eq!(api.read(&path, "expand[]=customer").await["customer"]["deleted"], true);
}

#[tokio::test]
async fn line_items_keep_the_order_of_the_cart_over_pages() {
    let api = Api::start().await;
    let price = id(&api.course_price().await);
    let items: String = (0..23)
        .map(|n| format!("&line_items[{n}][price]={price}&line_items[{n}][quantity]={}", n + 1))
        .collect();
    let form = format!("mode=payment&success_url=https://shop.example{items}");
    let session = id(&api.make("/v1/checkout/sessions", &form).await);
    let path = format!("/v1/checkout/sessions/{session}/line_items");

    let mut quantities = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.read(&path, &format!("limit=10{cursor}")).await;
        let data = page["data"].as_array().expect("data");
        quantities.extend(data.iter().map(|item| item["quantity"].as_i64().expect("quantity")));
        if page["has_more"] == false {
            break;
        }
        cursor = format!("&starting_after={}", id(data.last().expect("a page that is not the last is full")));
    }
    assert_eq!(quantities, (1..=23).collect::<Vec<i64>>());
    let embedded = api.read(&format!("/v1/checkout/sessions/{session}"), "expand[]=line_items").await;
    assert_eq!(ids(&embedded["line_items"]).len(), 10);
    assert_eq!(embedded["line_items"]["has_more"], true);
}

/// Random questions to a random list, against the plainest answer: sort everything, then look.
#[tokio::test]
async fn pages_agree_with_a_naive_list() {
    use rand::{Rng, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(3);
    let api = Api::start().await;
    let mut all = Vec::new();
    for number in 0..300_i64 {
        let (created, email) = (
            1_700_000_000 + random.random_range(0..20),
            format!("e{}@example.com", random.random_range(0..4)),
        );
        api.stripe.set_clock(created);
        let customer = api
            .stripe
            .request("POST", "/v1/customers", &format!("email={email}"))
            .expect("customers are made");
        all.push((created, number, id(&customer), email));
    }
    all.sort_by_key(|(created, number, ..)| std::cmp::Reverse((*created, *number)));
    let mut gone = std::collections::HashSet::new();
    for (_, _, id, _) in &all {
        if random.random_bool(0.1) {
            api.stripe.request("DELETE", &format!("/v1/customers/{id}"), "").expect("it exists");
            gone.insert(id.clone());
        }
    }
    for _ in 0..600 {
        let limit = random.random_range(1..=40_usize);
        let email = random.random_bool(0.5).then(|| format!("e{}@example.com", random.random_range(0..5)));
        let (first, last) =
            (1_700_000_000 + random.random_range(-2..12), 1_700_000_000 + random.random_range(8..23));
        let cursor = random.random_range(0..all.len());
        let direction = random.random_range(0..3);
        let mut form = format!("limit={limit}&created[gte]={first}&created[lte]={last}");
        form += &email.as_ref().map_or(String::new(), |email| format!("&email={email}"));
        let matching = |place: &usize| {
            let (created, _, id, own) = &all[*place];
            (first..=last).contains(created)
                && !gone.contains(id)
                && email.as_ref().is_none_or(|email| email == own)
        };
        let (expected, more): (Vec<usize>, bool) = if direction == 2 {
            form += &format!("&ending_before={}", all[cursor].2);
            let newer: Vec<usize> = (0..cursor).filter(matching).collect();
            (newer[newer.len().saturating_sub(limit)..].to_vec(), newer.len() > limit)
        } else {
            let start = if direction == 0 { 0 } else { cursor + 1 };
            if direction == 1 {
                form += &format!("&starting_after={}", all[cursor].2);
            }
            let older: Vec<usize> = (start..all.len()).filter(matching).collect();
            (older[..older.len().min(limit)].to_vec(), older.len() > limit)
        };
        let page = api.stripe.request("GET", "/v1/customers", &form).expect("the question is valid");
        let expected: Vec<String> = expected.into_iter().map(|place| all[place].2.clone()).collect();
        assert_eq!((ids(&page), &page["has_more"]), (expected, &more.into()), "{form}");
    }
}

/// A page costs its own length, however many rows are behind it.
#[tokio::test]
async fn a_page_of_a_long_list_costs_a_page() {
    let api = Api::start().await;
    let customer = id(&api.make("/v1/customers", "").await);
    for number in 0..20_000 {
        let rare = if number % 5_000 == 0 { "rare" } else { "common" };
        api.stripe
            .request("POST", "/v1/customers", &format!("email={rare}@example.com"))
            .expect("customers are made");
    }
    assert_eq!(api.stripe.count("customer"), 20_001);
    // The quickest of twenty: what others do on the machine meanwhile is not the list's cost.
    let time = async |form: &str, expected: usize| {
        let mut quickest = std::time::Duration::MAX;
        for _ in 0..20 {
            let before = std::time::Instant::now();
            assert_eq!(ids(&api.read("/v1/customers", form).await).len(), expected, "{form}");
            quickest = quickest.min(before.elapsed());
        }
        quickest
    };
    let bound = std::time::Duration::from_millis(10);
    for (form, expected) in [
        ("limit=3", 3),
        ("limit=3&email=rare@example.com", 3),
        ("limit=3&email=common@example.com", 3),
        (&format!("limit=3&ending_before={customer}"), 3),
    ] {
        let taken = time(form, expected).await;
        assert!(taken < bound, "{form} took {taken:?} a page");
    }
}
