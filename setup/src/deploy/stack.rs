//! A stack's changes: planned, carried out, followed by its events until it has ended.

use crate::Failure;
use crate::aws::{Aws, said};
use aws_sdk_cloudformation::types::{
    Capability, Change, ChangeAction, ChangeSetStatus, ChangeSetType, Parameter, Replacement, StackEvent,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use terminal::note;

/// The first wait and the pause between questions to CloudFormation.
const LOOK: Duration = Duration::from_millis(300);
const LOOK_LATER: Duration = Duration::from_secs(2);
/// How long CloudFormation may take to prepare a change set.
const PATIENCE: Duration = Duration::from_secs(180);

/// The wanted state of a stack.
pub struct Wanted<'a> {
    /// The stack's name.
    pub name: &'a str,
    /// The template.
    pub template: &'a str,
    /// Parameters that are given; the others keep their value, or their default.
    pub parameters: BTreeMap<&'static str, String>,
}

/// A change set that waits to be carried out.
pub struct ChangeSet {
    name: String,
    /// Whether the stack exists for this change set only.
    new: bool,
    /// The changes, a line each.
    pub lines: Vec<String>,
    /// The resources that would be removed or replaced, by their logical names.
    pub lost: Vec<String>,
}

/// Prepares the changes; none if there are none.
///
/// # Errors
/// CloudFormation's error.
pub async fn plan(aws: &Aws, wanted: &Wanted<'_>) -> Result<Option<ChangeSet>, Failure> {
    let mut there = aws.stack(wanted.name).await?;
    if there.as_ref().is_some_and(|stack| stack.status == "ROLLBACK_COMPLETE") {
        // The rest of a failed creation is empty and cannot be updated.
        delete(aws, wanted.name).await?;
        there = None;
    }
    let new = there.as_ref().is_none_or(|stack| stack.status == "REVIEW_IN_PROGRESS");
    let kept = there.filter(|_| !new).map(|stack| stack.parameters).unwrap_or_default();
    let name = format!("baton-{:x}", std::process::id() as u128 * 1_000_000 + u128::from(subsecond()));
    let mut create = aws
        .stacks
        .create_change_set()
        .stack_name(wanted.name)
        .change_set_name(&name)
        .change_set_type(if new { ChangeSetType::Create } else { ChangeSetType::Update })
        .template_body(wanted.template)
        .set_capabilities(makes_roles(wanted.template).then(|| vec![Capability::CapabilityIam]));
    for (key, value) in &wanted.parameters {
        create = create.parameters(Parameter::builder().parameter_key(*key).parameter_value(value).build());
    }
    for key in kept.keys().filter(|key| !wanted.parameters.contains_key(key.as_str())) {
        // A parameter that a later template no longer has must not be sent.
        if wanted.template.contains(&format!("\n  {key}:\n")) {
            create =
                create.parameters(Parameter::builder().parameter_key(key).use_previous_value(true).build());
        }
    }
    create.send().await.map_err(|error| said("plan the changes of", wanted.name, error))?;
    described(aws, wanted.name, name, new).await
}

/// Whether the template makes roles: CloudFormation must then be told that this is allowed.
fn makes_roles(template: &str) -> bool {
    template.contains("Type: AWS::IAM::")
}

/// Waits until a change set is prepared.
async fn described(aws: &Aws, stack: &str, name: String, new: bool) -> Result<Option<ChangeSet>, Failure> {
    let begun = Instant::now();
    loop {
        let call = aws.stacks.describe_change_set().stack_name(stack).change_set_name(&name);
        let found = call.send().await.map_err(|error| said("read the changes of", stack, error))?;
        let why = found.status_reason().unwrap_or_default();
        match found.status() {
            Some(ChangeSetStatus::Failed)
                if why.contains("didn't contain changes") || why.contains("No updates") =>
            {
                discard(aws, stack, &name, new).await?;
                return Ok(None);
            }
            Some(ChangeSetStatus::Failed) => {
                discard(aws, stack, &name, new).await?;
                return Err(Failure::input(format!("{stack}: {why}")));
            }
            Some(ChangeSetStatus::CreateComplete) => {
                let (lines, lost) = told(found.changes());
                return Ok(Some(ChangeSet { name, new, lines, lost }));
            }
            _ if begun.elapsed() > PATIENCE => {
                return Err(Failure::from(format!(
                    "{stack}: no change set within {} s: {why}",
                    PATIENCE.as_secs()
                )));
            }
            _ => look_again(begun).await,
        }
    }
}

/// Deletes a change set, and the empty stack that was made for it.
async fn discard(aws: &Aws, stack: &str, change_set: &str, new: bool) -> Result<(), Failure> {
    let call = aws.stacks.delete_change_set().stack_name(stack).change_set_name(change_set);
    call.send().await.map_err(|error| said("drop the changes of", stack, error))?;
    if new {
        let call = aws.stacks.delete_stack().stack_name(stack);
        call.send().await.map_err(|error| said("drop", stack, error))?;
    }
    Ok(())
}

/// A line for each change, and the resources that are lost by them.
fn told(changes: &[Change]) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    for change in changes.iter().filter_map(Change::resource_change) {
        let (name, kind) =
            (change.logical_resource_id().unwrap_or_default(), change.resource_type().unwrap_or_default());
        let replaced = change.replacement() == Some(&Replacement::True);
        let sign = match change.action() {
            Some(ChangeAction::Add) => "+",
            Some(ChangeAction::Remove) => "-",
            _ => "~",
        };
        if sign == "-" || replaced {
            lost.push(name.to_owned());
        }
        let what: Vec<_> = change
            .details()
            .iter()
            .filter_map(|detail| detail.target()?.name())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let note = match (replaced, what.is_empty()) {
            (true, _) => "   is replaced: its content is lost or left behind".to_owned(),
            (false, false) if sign == "~" => format!("   {}", what.join(", ")),
            _ => String::new(),
        };
        lines.push(format!("  {sign} {name:18} {kind}{note}"));
    }
    (lines, lost)
}

impl ChangeSet {
    /// Deletes it, and the empty stack that was made for it.
    ///
    /// # Errors
    /// CloudFormation's error.
    pub async fn discard(&self, aws: &Aws, stack: &str) -> Result<(), Failure> {
        discard(aws, stack, &self.name, self.new).await
    }

    /// Carries it out and waits until the stack has ended, printing each event.
    ///
    /// # Errors
    /// In words: the first failure, and its reason.
    pub async fn carry_out(&self, aws: &Aws, stack: &str) -> Result<(), Failure> {
        let mut events = Events::before(aws, stack).await;
        let call = aws.stacks.execute_change_set().stack_name(stack).change_set_name(&self.name);
        call.send().await.map_err(|error| said("change", stack, error))?;
        let status = events.follow(aws, stack).await?;
        match status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" => Ok(()),
            _ => Err(Failure::from(format!("{stack} is {status}: {}", events.reason()))),
        }
    }
}

/// Deletes a stack and waits until it is gone.
///
/// # Errors
/// In words: the resource that could not be deleted, and why.
pub async fn delete(aws: &Aws, stack: &str) -> Result<(), Failure> {
    let mut events = Events::before(aws, stack).await;
    let call = aws.stacks.delete_stack().stack_name(stack);
    call.send().await.map_err(|error| said("delete", stack, error))?;
    match events.follow(aws, stack).await?.as_str() {
        "DELETE_COMPLETE" => Ok(()),
        status => Err(Failure::from(format!(
            "{stack} is {status}: {}; run the same command again",
            events.reason()
        ))),
    }
}

/// A stack's events, each printed once.
struct Events {
    told: BTreeSet<String>,
    failed: Vec<String>,
}

impl Events {
    /// The events so far are not printed.
    async fn before(aws: &Aws, stack: &str) -> Events {
        let mut events = Events { told: BTreeSet::new(), failed: Vec::new() };
        events.told = events.new_ones(aws, stack).await.into_iter().filter_map(|e| e.event_id).collect();
        events
    }

    /// Prints events until the stack has ended, and returns its status.
    async fn follow(&mut self, aws: &Aws, stack: &str) -> Result<String, Failure> {
        let begun = Instant::now();
        loop {
            let now = aws.stack(stack).await?;
            for event in self.new_ones(aws, stack).await {
                self.tell(event);
            }
            match now.map(|stack| stack.status) {
                None => return Ok("DELETE_COMPLETE".into()),
                Some(status) if !status.ends_with("_IN_PROGRESS") => return Ok(status),
                Some(_) => look_again(begun).await,
            }
        }
    }

    /// Events that are not printed yet, the oldest first. A stack that is gone has none.
    async fn new_ones(&self, aws: &Aws, stack: &str) -> Vec<StackEvent> {
        let page = aws.stacks.describe_stack_events().stack_name(stack).send().await;
        let mut events = page.map(|page| page.stack_events.unwrap_or_default()).unwrap_or_default();
        events.retain(|event| event.event_id().is_none_or(|id| !self.told.contains(id)));
        events.reverse();
        events
    }

    fn tell(&mut self, event: StackEvent) {
        let status = event.resource_status().map_or("", |status| status.as_str());
        let name = event.logical_resource_id().unwrap_or_default();
        let why = event.resource_status_reason().unwrap_or_default();
        if status.ends_with("_FAILED") {
            self.failed.push(format!("{name}: {why}"));
        }
        if !status.ends_with("_IN_PROGRESS") {
            note!("  {status:24} {name}  {}", if status.ends_with("_FAILED") { why } else { "" });
        }
        self.told.extend(event.event_id);
    }

    /// The first failure: later ones follow from it.
    fn reason(&self) -> &str {
        self.failed.first().map_or("its events say no more", String::as_str)
    }
}

async fn look_again(begun: Instant) {
    tokio::time::sleep((begun.elapsed() / 4).clamp(LOOK, LOOK_LATER)).await;
}

fn subsecond() -> u32 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_micros())
}
