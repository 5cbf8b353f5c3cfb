use ums_simulator::{Provider, Simulator};

use crate::client::Reply;
use crate::requests;
use crate::start;

async fn post(simulator: &Simulator, form: &str) -> Reply {
    let request = requests::sns(form);
    request.send(simulator.addr(Provider::Sns)).await.expect("an answer")
}

/// Returns the text of the first element of that name.
fn element(reply: &Reply, name: &str) -> String {
    let text = reply.text();
    let begin = text.find(&format!("<{name}>")).expect("the element") + name.len() + 2;
    let end = begin + text[begin..].find("</").expect("its end");
    text[begin..end].to_owned()
}

#[tokio::test]
async fn a_text_is_recorded() {
    let simulator = start().await;
    let reply = post(
        &simulator,
        "Action=Publish&Version=2010-03-31&PhoneNumber=%2B14165550123&Message=Code+%3C123%3E\
         &MessageAttributes.entry.1.Name=AWS.SNS.SMS.SenderID\
         &MessageAttributes.entry.1.Value.DataType=String\
         &MessageAttributes.entry.1.Value.StringValue=Shop\
         &MessageAttributes.entry.2.Name=AWS.SNS.SMS.SMSType\
         &MessageAttributes.entry.2.Value.DataType=String\
         &MessageAttributes.entry.2.Value.StringValue=Transactional",
    )
    .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/xml"));
    assert_eq!(reply.header("x-ums-simulator"), Some("1"));
    let message = &simulator.messages()[0];
    assert_eq!(element(&reply, "MessageId"), message.id);
    assert_eq!(message.to, ["+14165550123"]);
    assert_eq!(message.from.as_deref(), Some("Shop"));
    assert_eq!(message.body.as_deref(), Some("Code <123>"));
    assert_eq!(message.text, None);
    assert_eq!(message.params["AWS.SNS.SMS.SMSType"], "Transactional");
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_invalid_parameter() {
    let simulator = start().await;
    let check = async |form: &str, status: u16, code: &str, says: &str| {
        let reply = post(&simulator, form).await;
        assert_eq!(reply.status, status, "{form}");
        assert_eq!(element(&reply, "Code"), code, "{form}");
        assert!(element(&reply, "Message").contains(says), "{}", reply.text());
    };
    let invalid = "InvalidParameter";
    check(
        "Action=Publish&PhoneNumber=4165550123&Message=x",
        400,
        invalid,
        "not valid to publish",
    )
    .await;
    check("Action=Publish&PhoneNumber=%3Cb%3E&Message=x", 400, invalid, "&lt;b&gt;").await;
    check("Action=Publish&PhoneNumber=%2B14165550123&Message=", 400, invalid, "Empty message").await;
    check("Action=Publish&Message=x", 400, invalid, "no value for required parameter").await;
    let long = format!("Action=Publish&PhoneNumber=%2B14165550123&Message={}", "x".repeat(1_601));
    check(&long, 400, invalid, "too long").await;
    let sender = "Action=Publish&PhoneNumber=%2B14165550123&Message=x\
                  &MessageAttributes.entry.1.Name=AWS.SNS.SMS.SenderID\
                  &MessageAttributes.entry.1.Value.StringValue=far+too+long+a+name";
    check(sender, 400, invalid, "SenderID").await;
    check("Action=Dance", 400, "InvalidAction", "Dance").await;
    check("", 400, "MissingAction", "Action").await;
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn signatures_must_have_their_form() {
    let simulator = start().await;
    let good = requests::send(Provider::Sns);
    let to = simulator.addr(Provider::Sns);
    let reply = good.clone().without("Authorization").send(to).await.expect("an answer");
    assert_eq!(
        (reply.status, element(&reply, "Code").as_str()),
        (403, "MissingAuthenticationToken")
    );
    let reply = good.header("Authorization", "AWS4-HMAC-SHA256 Credential=a").send(to).await;
    let reply = reply.expect("an answer");
    assert_eq!((reply.status, element(&reply, "Code").as_str()), (400, "IncompleteSignature"));
}

#[tokio::test]
async fn questions_are_answered() {
    let simulator = start().await;
    let reply = post(&simulator, "Action=GetSMSSandboxAccountStatus").await;
    assert_eq!(element(&reply, "IsInSandbox"), "false");
    let reply = post(&simulator, "Action=GetSMSAttributes").await;
    assert!(reply.text().contains("<key>MonthlySpendLimit</key>"));
    let reply = post(&simulator, "Action=CheckIfPhoneNumberIsOptedOut&phoneNumber=%2B14165550123").await;
    assert_eq!(element(&reply, "isOptedOut"), "false");
    assert_eq!(simulator.stats(Provider::Sns).requests, 3);
    assert_eq!(simulator.stats(Provider::Sns).sends, 0);
}
