//! The real handler on coroutines: each invocation runs until its next step and is suspended there,
//! on one thread.

use super::code::protocol::Ceiling;
use super::code::storage::Root;
use super::code::trainer::handler::handle;
use super::code::trainer::services::{Invocation, Ledgers, Services, Settings};
use super::code::work::Registry;
use super::learner::Hashing;
use super::seam::{Sender, SharedClock, Watched};
use super::setting::{ROOT, Setting};
use super::world::{of_neighbour, rests, with};
use generator::{Generator, Gn};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Words of a coroutine's stack: 512 KiB; the system only provides the touched part.
const STACK: usize = 64 * 1024;

/// How a process that is killed unwinds.
pub(crate) struct Killed;

thread_local! {
    static SLOTS: RefCell<Vec<Option<Generator<'static, (), ()>>>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Suspends the running invocation until it is resumed.
#[expect(deprecated, reason = "the scoped form cannot be reached from within a storage call")]
pub(crate) fn suspend() {
    generator::yield_with(());
}

/// Lets a process run to its next step, or to the end of its invocation.
pub(crate) fn resume(process: usize) {
    let slot = with(|w| {
        w.current = process;
        w.processes[process].slot
    });
    let slot = slot.unwrap_or_else(|| {
        let slot = FREE.with_borrow_mut(Vec::pop).unwrap_or_else(new_slot);
        with(|w| w.processes[process].slot = Some(slot));
        slot
    });
    let mut coroutine = SLOTS.with_borrow_mut(|slots| slots[slot].take()).expect("it is suspended");
    coroutine.resume();
    SLOTS.with_borrow_mut(|slots| slots[slot] = Some(coroutine));
    if with(|w| w.processes[process].slot.is_none()) {
        FREE.with_borrow_mut(|free| free.push(slot));
    }
}

fn new_slot() -> usize {
    let coroutine = Gn::new_opt(STACK, || {
        loop {
            invocation();
            suspend();
        }
    });
    SLOTS.with_borrow_mut(|slots| {
        slots.push(Some(coroutine));
        slots.len() - 1
    })
}

/// One invocation, from the event to its answer.
fn invocation() {
    let (services, payload, invocation, setting) = with(|w| w.job());
    let answer = catch_unwind(AssertUnwindSafe(|| carry_out(services, &payload, &invocation, setting)));
    with(|w| {
        w.me().slot = None;
        if !matches!(&answer, Err(payload) if payload.is::<Killed>()) {
            rests(w, w.current);
        }
        match answer {
            Ok(Ok(words)) => {
                w.note(|w| format!("p{} answers {words}", w.current));
                if w.truth.unhonoured
                    && (words.contains("/ledger is damaged") || words.contains("the ledger contradicts"))
                {
                    w.truth.broken = true;
                }
                let message = w.me().message.take();
                let asks = |event: &str| {
                    (event.contains("\"tick\"") || event.contains("\"start\"")) && !of_neighbour(event)
                };
                if message.is_some_and(|message| asks(&message.payload)) {
                    w.refused = words.contains("\"refused\"").then_some(words);
                }
            }
            Ok(Err(error)) => {
                w.note(|w| format!("p{} fails: {error}", w.current));
                if let Some(message) = w.me().message.take() {
                    w.deliver_again(message);
                }
            }
            Err(payload) if payload.is::<Killed>() => {}
            Err(payload) => w.violate(format!("the handler panicked: {}", text(&*payload))),
        }
    });
}

fn carry_out(
    services: Option<Arc<Services>>,
    payload: &str,
    invocation: &Invocation,
    setting: Setting,
) -> Result<String, String> {
    let services = match services {
        Some(services) => services,
        None => {
            let services = Arc::new(services_of(setting)?);
            with(|w| w.me().services = Some(services.clone()));
            services
        }
    };
    match handle(&services, payload.as_bytes(), invocation) {
        Ok(reply) => Ok(reply.to_json().to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// A cold start.
fn services_of(setting: Setting) -> Result<Services, String> {
    let dollars_per_day = setting.dollars_per_day;
    let ceiling = Ceiling { dollars_per_day, ..Ceiling::default() };
    Ok(Services {
        root: Root::open(ROOT).map_err(|error| error.to_string())?,
        invoke: Box::new(Sender),
        progress: Box::new(Watched),
        clock: Box::new(SharedClock),
        workloads: Registry::new(vec![("hashing", Box::new(Hashing(setting)))]),
        settings: Settings { ceiling, threads: 1, lock_wait: Duration::from_secs(30), patience_ms: 180_000 },
        ledgers: Ledgers::default(),
        notice: with(|w| w.me().notice()),
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let string = payload.downcast_ref::<String>().map(String::as_str);
    string.or(payload.downcast_ref::<&str>().copied()).unwrap_or("something")
}
