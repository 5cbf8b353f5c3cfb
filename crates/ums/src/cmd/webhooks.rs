//! `ums webhooks`: where the user's application is told what became of messages, and whether it listened.

use anyhow::Result;
use ums_core::{EndpointId, MessageId, NoticeFilter, NoticeId, NoticeKind, NoticeState, Timestamp};
use ums_server::{WebhookDelivery, WebhookEndpoint};
use unified_messaging::EndpointChange;

use crate::aftermath::Aftermath;
use crate::exit::{Exit, usage};
use crate::input::{time, word};
use crate::output;
use crate::service::Remote;

/// What to do with webhooks.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List endpoints, and how they do
    List(List),
    /// Show an endpoint with its signing secret
    Show(One),
    /// Add an endpoint
    Add(Add),
    /// Change what you name of an endpoint, switch it on or off
    #[command(visible_alias = "update")]
    Change(Change),
    /// Give an endpoint a new signing secret
    Rotate(Rotate),
    /// Remove an endpoint with everything that waits for it
    Remove(One),
    /// Post a test to an endpoint, and say how it ended
    Test(One),
    /// List what endpoints were told, newest first
    Deliveries(Deliveries),
    /// Post again what was given up
    Replay(Replay),
}

/// Arguments of `ums webhooks list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums webhooks list
  ums webhooks list --server http://127.0.0.1:8080 --json")]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One endpoint.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums webhooks show 0199f3a0-0000-7000-8000-000000000000
  ums webhooks test 0199f3a0-0000-7000-8000-000000000000
  ums webhooks remove 0199f3a0-0000-7000-8000-000000000000")]
pub(crate) struct One {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: EndpointId,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums webhooks add`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Posts are signed as Standard Webhooks says (headers webhook-id, webhook-timestamp, webhook-signature); any of its libraries checks them with
the secret that is printed. The URL must be https, and its name must resolve to public addresses, unless [webhooks] allows others.

Examples:
  ums webhooks add https://app.example.com/hooks/messages
  ums webhooks add https://app.example.com/hooks/bounces --event message.bounced --event message.complained"
)]
pub(crate) struct Add {
    /// Where notices are posted
    url: String,
    /// What it is told about, may be repeated; everything without it
    #[arg(long = "event", value_parser = word::<NoticeKind>(NoticeKind::WORDS), hide_possible_values = true)]
    events: Vec<NoticeKind>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums webhooks change`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums webhooks change 0199f3a0-0000-7000-8000-000000000000 --url https://app.example.com/new
  ums webhooks change 0199f3a0-0000-7000-8000-000000000000 --event message.delivered --event message.failed
  ums webhooks change 0199f3a0-0000-7000-8000-000000000000 --enable")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Change {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: EndpointId,
    /// Where notices are posted
    #[arg(long)]
    url: Option<String>,
    /// What it is told about from now on, may be repeated
    #[arg(long = "event", value_parser = word::<NoticeKind>(NoticeKind::WORDS), hide_possible_values = true, conflicts_with = "all_events")]
    events: Vec<NoticeKind>,
    /// Tell it about everything
    #[arg(long)]
    all_events: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Post to it again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Post nothing to it; what happens meanwhile is not told later
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums webhooks rotate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For some hours posts carry the signatures of both secrets, so that the application can change over without a gap.

Examples:
  ums webhooks rotate 0199f3a0-0000-7000-8000-000000000000
  ums webhooks rotate 0199f3a0-0000-7000-8000-000000000000 --overlap-hours 0"
)]
pub(crate) struct Rotate {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: EndpointId,
    /// How long the secret before signs beside the new one; 0 when it is known to others
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=720), value_name = "HOURS")]
    overlap_hours: u32,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which notices.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Of this endpoint
    #[arg(long, value_name = "ID")]
    endpoint: Option<EndpointId>,
    /// About this message
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// Happened at or after: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Happened before: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Arguments of `ums webhooks deliveries`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums webhooks deliveries --state failed
  ums webhooks deliveries --message 0199f3a0-0000-7000-8000-000000000000 --json")]
pub(crate) struct Deliveries {
    #[command(flatten)]
    filter: Filter,
    /// Where they stand
    #[arg(long, value_parser = word::<NoticeState>(NoticeState::WORDS))]
    state: Option<NoticeState>,
    /// Most notices to list
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200), value_name = "COUNT")]
    limit: u16,
    /// Go on after this notice: the `next_cursor` of the list before
    #[arg(long, value_name = "ID")]
    cursor: Option<NoticeId>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums webhooks replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What was given up is posted again, with the same ids: an application that has seen one drops it. --delivered posts again what was taken, too.

Examples:
  ums webhooks replay
  ums webhooks replay --endpoint 0199f3a0-0000-7000-8000-000000000000 --since 2026-11-22T10:00:00Z
  ums webhooks replay --delivered --since 2026-11-22T10:00:00Z --until 2026-11-22T11:00:00Z --yes"
)]
pub(crate) struct Replay {
    #[command(flatten)]
    filter: Filter,
    /// Those that were taken instead of those that were given up
    #[arg(long)]
    delivered: bool,
    /// Do not ask before posting again what was taken
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Add(args) => add(args).await,
        Command::Change(args) => change(args).await,
        Command::Rotate(args) => rotate(args).await,
        Command::Remove(args) => remove(args).await,
        Command::Test(args) => test(args).await,
        Command::Deliveries(args) => deliveries(args).await,
        Command::Replay(args) => replay(args).await,
    }
}

async fn list(args: List) -> Result<Exit> {
    let endpoints = Aftermath::within(&args.remote, async |it| it.endpoints().await).await?;
    output::either(args.json, &endpoints, || {
        if endpoints.data.is_empty() {
            return "No endpoints; `ums webhooks add URL` makes one.".to_owned();
        }
        let mut table = output::table(&["endpoint", "url", "events", "status", "last success", "last error"]);
        for endpoint in &endpoints.data {
            table.add_row([
                endpoint.id.to_string(),
                endpoint.url.clone(),
                events(endpoint),
                status(endpoint),
                shown(endpoint.last_success_at),
                endpoint.last_error.clone().unwrap_or_default(),
            ]);
        }
        table.to_string()
    })?;
    Ok(Exit::Done)
}

fn events(endpoint: &WebhookEndpoint) -> String {
    if endpoint.events.is_empty() {
        return "everything".to_owned();
    }
    let words: Vec<&str> = endpoint.events.iter().map(|kind| kind.as_str()).collect();
    words.join(", ")
}

fn status(endpoint: &WebhookEndpoint) -> String {
    match (&endpoint.disabled_reason, endpoint.failing_since) {
        (Some(reason), _) => format!("off: {reason}"),
        (None, _) if !endpoint.enabled => "off".to_owned(),
        (None, Some(since)) => format!("failing since {since}"),
        (None, None) => "on".to_owned(),
    }
}

fn shown(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn told(json: bool, endpoint: &WebhookEndpoint) -> Result<Exit> {
    output::either(json, endpoint, || {
        let mut table = output::table(&["field", "value"]);
        let mut rows = vec![
            ("endpoint", endpoint.id.to_string()),
            ("url", endpoint.url.clone()),
            ("events", events(endpoint)),
            ("status", status(endpoint)),
            ("last success", shown(endpoint.last_success_at)),
        ];
        if !endpoint.description.is_empty() {
            rows.push(("description", endpoint.description.clone()));
        }
        rows.extend(endpoint.last_error.clone().map(|error| ("last error", error)));
        rows.extend(endpoint.secrets.iter().flatten().map(|secret| ("secret", secret.clone())));
        for (name, value) in rows {
            table.add_row([name, &value]);
        }
        table.to_string()
    })?;
    Ok(Exit::Done)
}

async fn show(args: One) -> Result<Exit> {
    let endpoint = Aftermath::within(&args.remote, async |it| it.endpoint(args.id).await).await?;
    told(args.json, &endpoint)
}

async fn add(args: Add) -> Result<Exit> {
    let change = EndpointChange {
        url: Some(args.url),
        description: args.description,
        kinds: Some(args.events),
        enabled: None,
    };
    let endpoint = Aftermath::within(&args.remote, async |it| it.create_endpoint(change).await).await?;
    told(args.json, &endpoint)
}

async fn change(args: Change) -> Result<Exit> {
    let kinds = (args.all_events || !args.events.is_empty()).then_some(args.events);
    let change = EndpointChange {
        url: args.url,
        description: args.description,
        kinds,
        enabled: (args.enable || args.disable).then_some(args.enable),
    };
    let endpoint = Aftermath::within(&args.remote, async |it| it.change_endpoint(args.id, change).await).await?;
    told(args.json, &endpoint)
}

async fn rotate(args: Rotate) -> Result<Exit> {
    let endpoint = Aftermath::within(&args.remote, async |it| it.rotate_endpoint(args.id, args.overlap_hours).await).await?;
    told(args.json, &endpoint)
}

async fn remove(args: One) -> Result<Exit> {
    Aftermath::within(&args.remote, async |it| it.forget_endpoint(args.id).await).await?;
    output::either(args.json, &serde_json::json!({ "removed": args.id }), || {
        "It is removed, and nothing more is posted to it.".to_owned()
    })?;
    Ok(Exit::Done)
}

async fn test(args: One) -> Result<Exit> {
    let posted = Aftermath::within(&args.remote, async |it| it.test_endpoint(args.id).await).await?;
    let taken = posted.state == NoticeState::Delivered;
    output::either(args.json, &posted, || {
        let result = posted.last_result.as_deref().unwrap_or("no answer");
        if taken {
            format!("The endpoint took it ({result}).")
        } else {
            format!("The endpoint did not take it: {result}.")
        }
    })?;
    Ok(if taken { Exit::Done } else { Exit::Failed })
}

impl Filter {
    fn notices(self, state: Option<NoticeState>) -> Result<NoticeFilter> {
        if self.since.zip(self.until).is_some_and(|(since, until)| since >= until) {
            return Err(usage("--since must be before --until"));
        }
        Ok(NoticeFilter {
            endpoint: self.endpoint,
            state,
            message_id: self.message,
            since: self.since,
            until: self.until,
        })
    }
}

async fn deliveries(args: Deliveries) -> Result<Exit> {
    let filter = args.filter.notices(args.state)?;
    let page = Aftermath::within(&args.remote, async |it| {
        it.deliveries(&filter, args.cursor, args.limit.into()).await
    })
    .await?;
    output::either(args.json, &page, || table(&page.data, page.next_cursor))?;
    Ok(Exit::Done)
}

fn table(deliveries: &[WebhookDelivery], next: Option<NoticeId>) -> String {
    if deliveries.is_empty() {
        return "Nothing was told.".to_owned();
    }
    let mut table = output::table(&[
        "notice",
        "endpoint",
        "event",
        "message",
        "at",
        "state",
        "tries",
        "last result",
        "next try",
    ]);
    for delivery in deliveries {
        table.add_row([
            delivery.id.to_string(),
            delivery.endpoint_id.to_string(),
            delivery.r#type.to_string(),
            delivery.message_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            delivery.at.to_string(),
            delivery.state.to_string(),
            delivery.tries.to_string(),
            delivery.last_result.clone().unwrap_or_default(),
            shown(delivery.next_try_at),
        ]);
    }
    let more = next.map(|cursor| format!("\nThere is more: --cursor {cursor}")).unwrap_or_default();
    format!("{table}{more}")
}

async fn replay(args: Replay) -> Result<Exit> {
    if args.delivered && !args.yes {
        return Err(usage(
            "applications that keep no ids would see them twice: add --yes to post again what was taken",
        ));
    }
    let state = if args.delivered {
        NoticeState::Delivered
    } else {
        NoticeState::Failed
    };
    let filter = args.filter.notices(Some(state))?;
    let replayed = Aftermath::within(&args.remote, async |it| it.replay_notices(&filter).await).await?;
    output::either(args.json, &serde_json::json!({ "replayed": replayed }), || match replayed {
        0 => "Nothing to post again.".to_owned(),
        _ => format!("{replayed} are posted again by the process that serves; `ums webhooks deliveries` tells how it goes."),
    })?;
    Ok(Exit::Done)
}
