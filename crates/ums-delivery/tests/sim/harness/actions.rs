//! What may happen next in the stormy act: callers, operators, time, faults.

use std::time::Duration;

use ums_core::{
    Channel, Clock as _, Duplicates, IdempotencyKey, MessageFilter, OnExhausted, Purpose, SuppressionOrigin, SuppressionReason, TenantId,
};
use ums_delivery::{Mark, Messaging, NewSuppression, ReplayRequest, Submission, Which};

use super::answers::Mood;
use super::cast::{self, ADDRESSEES, SINGLES};
use super::process::Standing;
use super::run::Stage;
use super::world::{DAY, NEAR, SECOND, Shared, number_of, short};

/// One kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes, and nothing else.
    Pass,
    /// A caller hands a message in.
    Submit,
    /// A caller repeats a request, perhaps at another process.
    Repeat,
    /// A caller hands in several as one.
    Batch,
    /// A caller cancels, or an operator sends again or says what became of it.
    Act,
    /// Somebody opts out, or in again.
    OptOut,
    /// An operator replays what failed.
    Replay,
    /// A provider's mood changes.
    Mood,
    /// The store's weather changes.
    Weather,
    /// A process dies.
    Crash,
    /// A process ends itself.
    Shutdown,
    /// A dead process is started.
    Restart,
    /// A process is stopped for a while.
    Pause,
    /// A process's wall clock jumps.
    Jump,
}

/// How likely each action is in a run; a run leaves some faults out, so that others come to the fore.
pub(crate) fn menu(stage: &Stage) -> Vec<(u64, Action)> {
    use Action as A;
    let mut world = stage.shared.lock();
    let mut menu = vec![(30, A::Pass), (25, A::Submit), (8, A::Restart)];
    let extras = [
        (6, A::Repeat),
        (3, A::Batch),
        (8, A::Act),
        (8, A::OptOut),
        (2, A::Replay),
        (10, A::Mood),
        (6, A::Weather),
        (4, A::Crash),
        (1, A::Shutdown),
        (4, A::Pause),
        (3, A::Jump),
    ];
    menu.extend(extras.into_iter().filter(|_| world.chance.happens(650)));
    menu
}

/// Does it.
pub(crate) fn perform(stage: &mut Stage, action: Action) {
    match action {
        Action::Pass => {}
        Action::Submit => submit(stage),
        Action::Repeat => repeat(stage),
        Action::Batch => batch(stage),
        Action::Act => act(stage),
        Action::OptOut => opt_out(stage),
        Action::Replay => replay(stage),
        Action::Mood => mood(&stage.shared),
        Action::Weather => weather(&stage.shared),
        Action::Crash => {
            if let Some(process) = stage.any(|process| process.standing != Standing::Down) {
                stage.shared.lock().tally.crashes += 1;
                stage.processes[process].crash();
            }
        }
        Action::Shutdown => shutdown(stage),
        Action::Restart => {
            if let Some(process) = stage.any(|process| process.standing == Standing::Down) {
                stage.processes[process].start(&stage.setting);
                stage.processes[process].run();
            }
        }
        Action::Pause => {
            if let Some(process) = stage.any(|process| process.standing == Standing::Up) {
                let mut world = stage.shared.lock();
                let (low, high) = world
                    .chance
                    .pick(&[(SECOND / 10, 5 * SECOND), (5 * SECOND, 60 * SECOND), (60 * SECOND, 100 * SECOND)]);
                let until = world.now() + world.chance.between(low, high);
                world.note([40, process as u64, until], || {
                    format!("process {process} is stopped until {}", until / SECOND)
                });
                stage.processes[process].standing = Standing::Paused(until);
            }
        }
        Action::Jump => {
            let (process, wrong_by) = {
                let mut world = stage.shared.lock();
                // Near, which is followed, or far, which is not.
                let (least, most) = world.chance.weighted(&[
                    (2, (0, NEAR)),
                    (1, (600 * SECOND, 3_600 * SECOND)),
                    (1, (DAY, 3 * DAY)),
                    (1, (400 * DAY, 500 * DAY)),
                ]);
                let by = i64::try_from(world.chance.between(least, most)).unwrap();
                let wrong_by = if world.chance.happens(500) { by } else { -by };
                (world.chance.below(stage.processes.len() as u64), wrong_by)
            };
            stage.processes[usize::try_from(process).unwrap()].jump(wrong_by);
        }
    }
}

/// A request as a caller repeats it.
#[derive(Clone)]
pub(crate) struct Request {
    submission: Submission,
    key: Option<u64>,
}

/// Makes up a request.
fn request(stage: &Stage, keyed: bool) -> Request {
    let mut world = stage.shared.lock();
    let chance = &mut world.chance;
    let (low, high) = chance.weighted(&[(450, (0, 4)), (100, (4, SINGLES)), (450, (SINGLES, ADDRESSEES))]);
    let addressees = chance.between(low, high);
    let mut parsed = cast::request(addressees);
    let handling = &mut parsed.handling;
    handling.purpose = chance.weighted(&[(2, Purpose::Otp), (5, Purpose::Transactional), (3, Purpose::Bulk)]);
    if handling.purpose == Purpose::Otp && addressees >= SINGLES {
        handling.purpose = Purpose::Transactional;
    }
    let usual = handling.purpose.default_duplicates();
    handling.duplicates = chance.weighted(&[(4, usual), (1, Duplicates::Allow), (1, Duplicates::Never)]);
    handling.on_exhausted = chance.weighted(&[(6, None), (1, Some(OnExhausted::Hold)), (1, Some(OnExhausted::Fail))]);
    handling.via = chance.happens(50).then(|| chance.pick(&cast::CHAIN));
    handling.expires_in = chance.happens(150).then(|| Duration::from_secs(chance.between(1, 200)));
    let later = chance.happens(120).then(|| Duration::from_secs(chance.between(1, 90)));
    let tenant = cast::tenant(chance.below(4) / 3);
    handling.send_at = later.map(|later| world.wall() + later);
    let key = keyed.then(|| world.callers.made_key());
    let idempotency = key.map(|key| IdempotencyKey {
        key: format!("key-{key}"),
        fingerprint: [u8::try_from(key % 251).unwrap(); 32],
        expires_at: world.wall() + Duration::from_hours(24),
    });
    Request {
        submission: Submission {
            tenant,
            parsed,
            idempotency,
        },
        key,
    }
}

fn submit(stage: &mut Stage) {
    let keyed = stage.shared.lock().chance.happens(400);
    let request = request(stage, keyed);
    if keyed {
        stage.requests.push(request.clone());
    }
    hand_in(stage, request);
}

fn repeat(stage: &mut Stage) {
    let count = stage.requests.len() as u64;
    if count == 0 {
        return;
    }
    let place = stage.shared.lock().chance.below(count);
    let request = stage.requests[usize::try_from(place).unwrap()].clone();
    // Twins at once, at two processes or at the same.
    for _ in 0..2 {
        hand_in(stage, request.clone());
    }
}

fn hand_in(stage: &mut Stage, request: Request) {
    let Some((process, engine)) = stage.any_engine() else { return };
    let shared = stage.shared.clone();
    stage.processes[process].spawn(async move {
        let answer = engine.submit(request.submission).await;
        let mut world = shared.lock();
        match answer {
            Ok(ticket) => {
                let (id, replayed) = (ticket.message_id(), ticket.was_replayed());
                world.note([50, number_of(id), u64::from(replayed)], || {
                    format!(
                        "caller: process {process} accepted {}, key {:?}, replayed {replayed}",
                        short(id),
                        request.key
                    )
                });
                world.accepted(id, request.key);
            }
            Err(error) => world.note([51, 0, 0], || format!("caller: process {process} refused: {error}")),
        }
    });
    stage.processes[process].run();
}

fn batch(stage: &mut Stage) {
    let count = stage.shared.lock().chance.between(2, 6);
    let requests: Vec<_> = (0..count).map(|_| request(stage, false).submission).collect();
    let Some((process, engine)) = stage.any_engine() else { return };
    let shared = stage.shared.clone();
    stage.processes[process].spawn(async move {
        let answer = engine.submit_all(requests).await;
        let mut world = shared.lock();
        match answer {
            Ok(accepted) => {
                for accepted in accepted {
                    let id = accepted.message_id;
                    world.note([52, number_of(id), 0], || {
                        format!("caller: process {process} accepted {} in a batch", short(id))
                    });
                    world.accepted(id, None);
                }
            }
            Err(error) => world.note([53, 0, 0], || format!("caller: process {process} refused a batch: {error}")),
        }
    });
    stage.processes[process].run();
}

/// What a caller or an operator does to a message.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Cancel,
    Resend,
    Mark(Mark),
}

fn act(stage: &mut Stage) {
    let (id, tenant, deed) = {
        let mut world = stage.shared.lock();
        let count = world.callers.accepted.len() as u64;
        if count == 0 {
            return;
        }
        let newest = count - world.chance.below(count.min(8)) - 1;
        let id = world.callers.accepted[usize::try_from(newest).unwrap()];
        let deed = world.chance.weighted(&[
            (6, Deed::Cancel),
            (4, Deed::Resend),
            (1, Deed::Mark(Mark::Sent)),
            (1, Deed::Mark(Mark::Failed)),
        ]);
        let tenant = world
            .ledger
            .rows
            .get(&id)
            .map_or_else(TenantId::default, |row| row.record.message.tenant.clone());
        (id, tenant, deed)
    };
    let Some((process, engine)) = stage.any_engine() else { return };
    let shared = stage.shared.clone();
    stage.processes[process].spawn(async move {
        let done = do_to(&engine, &tenant, id, deed).await;
        shared.lock().note([60, number_of(id), u64::from(done.is_ok())], || {
            let what = done.err().unwrap_or_else(|| "done".to_owned());
            format!("operator: {deed:?} {} at process {process}: {what}", short(id))
        });
    });
    stage.processes[process].run();
}

async fn do_to(engine: &Messaging, tenant: &TenantId, id: ums_core::MessageId, deed: Deed) -> Result<(), String> {
    let done = match deed {
        Deed::Cancel => engine.cancel(tenant, id).await,
        Deed::Resend => engine.resend(tenant, id).await,
        Deed::Mark(mark) => engine.mark(tenant, id, mark).await,
    };
    done.map(drop).map_err(|error| error.to_string())
}

/// Opting in again is likelier, so that somebody is left to write to.
fn opt_out(stage: &mut Stage) {
    let (address, tenant, out, reason) = {
        let mut world = stage.shared.lock();
        let address = cast::address(world.chance.below(SINGLES)).to_owned();
        let reason = world.chance.pick(&[SuppressionReason::Unsubscribe, SuppressionReason::Manual]);
        (address, cast::tenant(world.chance.below(4) / 3), world.chance.happens(400), reason)
    };
    let Some((process, engine)) = stage.any_engine() else { return };
    let shared = stage.shared.clone();
    stage.processes[process].spawn(async move {
        let done = if out {
            let entry = NewSuppression {
                channel: Channel::Email,
                address,
                reason,
                list: None,
                origin: SuppressionOrigin::Link,
                detail: None,
                since: None,
                expires_at: None,
            };
            engine.suppress(&tenant, vec![entry]).await.map(|_| ())
        } else {
            engine
                .unsuppress(&tenant, Channel::Email, &address, &Which::default())
                .await
                .map(|_| ())
        };
        let told = done.is_ok();
        shared.lock().note([62, u64::from(out), u64::from(told)], || {
            format!("recipient: opted {} at process {process}: {told}", if out { "out" } else { "in" })
        });
    });
    stage.processes[process].run();
}

fn replay(stage: &mut Stage) {
    let tenant = cast::tenant(stage.shared.lock().chance.below(4) / 3);
    let Some((process, engine)) = stage.any_engine() else { return };
    let shared = stage.shared.clone();
    stage.processes[process].spawn(async move {
        let request = ReplayRequest {
            filter: MessageFilter::default(),
            cursor: None,
            limit: 5,
            dry_run: false,
        };
        let replayed = engine.replay(&tenant, &request).await.map_or(0, |slice| slice.replayed);
        shared
            .lock()
            .note([63, replayed, 0], || format!("operator: {replayed} replayed at process {process}"));
    });
    stage.processes[process].run();
}

fn mood(shared: &Shared) {
    let mut world = shared.lock();
    let place = usize::try_from(world.chance.below(3)).unwrap();
    let mood = world.chance.weighted(&[
        (6, Mood::Well),
        (3, Mood::Slow),
        (3, Mood::Down),
        (6, Mood::Flaky),
        (5, Mood::Losing),
        (1, Mood::Refusing),
        (1, Mood::Throttling),
        (1, Mood::Misconfigured),
    ]);
    world.moods[place] = mood;
    world.note([70, place as u64, mood as u64], || {
        format!("{} is {mood:?} from now on", cast::CHAIN[place])
    });
}

fn weather(shared: &Shared) {
    let mut world = shared.lock();
    let chance = &mut world.chance;
    let weather = super::world::Weather {
        delayed: chance.pick(&[0, 50, 200, 400]),
        lost: chance.pick(&[0, 0, 20, 150]),
        refused: chance.pick(&[0, 0, 20, 200]),
        out: chance.happens(120),
    };
    world.weather = weather;
    world.note([71, weather.delayed, u64::from(weather.out)], || {
        format!("the store's weather is {weather:?}")
    });
}

fn shutdown(stage: &mut Stage) {
    let Some((process, engine)) = stage.any_engine() else { return };
    let wall = stage.processes[process].clock.now();
    stage
        .shared
        .lock()
        .note([72, process as u64, 0], || format!("process {process} shuts down at {wall}"));
    stage.processes[process].spawn(async move { engine.shutdown(Duration::from_secs(25)).await });
    stage.processes[process].run();
    stage.pass(26 * SECOND);
    stage.processes[process].crash();
}
