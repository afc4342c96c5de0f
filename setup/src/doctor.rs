//! `baton doctor`: checks everything that a run needs, one by one, with advice for each problem.

mod failed;

use crate::Failure;
use crate::aws::{Aws, Stack, words};
use protocol::Errand;
use protocol::items::DayItem;
use serde::Deserialize;
use serde_json::{Value, json};
use terminal::say;

/// Concurrent invocations of a run with five workers.
const CONCURRENCY: i32 = 5;
/// The memory of an account whose limit Lambda has not raised: mostly a new account, or a lab.
const NEW_ACCOUNT_MB: i32 = 3_008;
const FULL_CONCURRENCY: i32 = 1_000;
/// A file system with more free bytes than this never fills up: EFS.
const BOUNDLESS: u64 = 1 << 50;
/// With fewer free bytes a run would soon be hindered.
const LEAST_FREE: u64 = 1 << 30;

/// Checks whether everything that a run needs is there.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton doctor\n  baton doctor --stack my-stack --json")]
pub struct Doctor {
    /// The stack's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub stack: String,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// The result of one check.
struct Finding {
    what: &'static str,
    /// Its state, or the problem and what to do.
    found: Result<String, String>,
}

impl Doctor {
    /// Runs all checks.
    ///
    /// # Errors
    /// If something is wrong: how many problems there are.
    pub async fn run(&self) -> Result<(), Failure> {
        let aws = Aws::connect().await?;
        let mut findings = vec![credentials(&aws).await];
        if findings[0].found.is_ok() {
            findings.push(quota(&aws).await);
            match aws.stack(&self.stack).await? {
                None => findings.push(Finding {
                    what: "stack",
                    found: Err(format!("there is no {} in {}: baton deploy", self.stack, aws.region())),
                }),
                Some(stack) => findings.extend(self.deployed(&aws, &stack).await),
            }
        }
        findings.iter().for_each(|finding| self.tell(finding));
        match findings.iter().filter(|finding| finding.found.is_err()).count() {
            0 => Ok(()),
            wrong => Err(Failure::from(format!("{wrong} of {} checks failed", findings.len()))),
        }
    }

    async fn deployed(&self, aws: &Aws, stack: &Stack) -> Vec<Finding> {
        let settled = stack.status.ends_with("_COMPLETE") && !stack.status.contains("ROLLBACK");
        let found =
            if settled { Ok(stack.status.clone()) } else { Err(format!("{}: baton deploy", stack.status)) };
        let mut findings = vec![Finding { what: "stack", found }];
        let Some(function) = stack.outputs.get("Function") else {
            findings.push(Finding {
                what: "function",
                found: Err("the deployment is not complete: run baton deploy".into()),
            });
            return findings;
        };
        findings.push(state(aws, function).await);
        findings.extend(memory(aws, function).await);
        findings.push(recursion(aws, function).await);
        findings.extend(reached(aws, function).await);
        if let Some(queue) = stack.outputs.get("FailedEvents") {
            findings.push(Finding { what: "failed", found: failed::look(&aws.config, queue).await });
        }
        findings
    }

    fn tell(&self, Finding { what, found }: &Finding) {
        match (self.json, found) {
            (true, Ok(found)) => say!("{}", json!({"what": what, "ok": true, "found": found})),
            (true, Err(wrong)) => say!("{}", json!({"what": what, "ok": false, "wrong": wrong})),
            (false, Ok(found)) => say!("  ok     {what:12} {found}"),
            (false, Err(wrong)) => say!("  WRONG  {what:12} {wrong}"),
        }
    }
}

/// Whether AWS accepts the credentials: the account's settings are the smallest request.
async fn credentials(aws: &Aws) -> Finding {
    let found = match aws.cloud.lambda.get_account_settings().send().await {
        Ok(_) => Ok(format!("accepted in {}", aws.region())),
        Err(error) => Err(format!(
            "{}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (labs: and AWS_SESSION_TOKEN, a new one in \
             each session), or run `aws configure`",
            words(error)
        )),
    };
    Finding { what: "credentials", found }
}

async fn quota(aws: &Aws) -> Finding {
    let settings = aws.cloud.lambda.get_account_settings().send().await;
    let free = settings.ok().and_then(|settings| {
        settings.account_limit().and_then(|limit| limit.unreserved_concurrent_executions())
    });
    let found = match free {
        Some(free) if free < CONCURRENCY => Err(format!(
            "{free} concurrent executions are free: start with --workers {free} or fewer, or ask for more \
                (Service Quotas, Lambda, Concurrent executions)"
        )),
        Some(free) => Ok(format!("{free} concurrent executions are free")),
        None => Ok("the account's concurrency is unknown".into()),
    };
    Finding { what: "concurrency", found }
}

/// Whether the function can be invoked; after 14 days without an invocation it is inactive, and the next one
/// wakes it.
async fn state(aws: &Aws, function: &str) -> Finding {
    let found = match aws.cloud.lambda.get_function_configuration().function_name(function).send().await {
        Err(error) => Err(format!("{}: baton deploy", words(error))),
        Ok(about) => {
            let state = about.state().map_or("Active", |state| state.as_str());
            let why = about.state_reason().unwrap_or_default();
            let is = format!(
                "{state}, {} MB, {} s",
                about.memory_size().unwrap_or(0),
                about.timeout().unwrap_or(0)
            );
            match state {
                "Active" => Ok(is),
                "Inactive" => {
                    Ok(format!("{is}: idle for 14 days; the first call wakes it, which takes a minute"))
                }
                _ => {
                    Err(format!("{is} {why}: wait a minute and try again; if it stays so, run baton deploy"))
                }
            }
        }
    };
    Finding { what: "function", found }
}

/// The memory that the function may have. Lambda has no quota to read and only refuses, so this reports known
/// values.
async fn memory(aws: &Aws, function: &str) -> Option<Finding> {
    let about = aws.cloud.lambda.get_function_configuration().function_name(function).send().await.ok()?;
    let settings = aws.cloud.lambda.get_account_settings().send().await.ok();
    let concurrency = settings.and_then(|it| it.account_limit().map(|limit| limit.concurrent_executions()));
    Some(Finding { what: "memory", found: Ok(memory_words(about.memory_size()?, concurrency)) })
}

fn memory_words(has_mb: i32, concurrency: Option<i32>) -> String {
    if has_mb > NEW_ACCOUNT_MB {
        return format!(
            "{has_mb} MB, so the account is not limited to {NEW_ACCOUNT_MB}; 10240 give six CPUs"
        );
    }
    let held = match concurrency {
        Some(limit) if limit < FULL_CONCURRENCY => format!(
            "an account with {limit} concurrent executions is usually limited to {NEW_ACCOUNT_MB} MB as well"
        ),
        _ => "Lambda does not report the account's limit".into(),
    };
    format!(
        "{has_mb} MB; {held}. For more CPUs: baton deploy --memory 10240. If it is refused, nothing changes: \
         ask for more (AWS Support, service quota increase, Lambda, function memory)"
    )
}

async fn recursion(aws: &Aws, function: &str) -> Finding {
    let asked = aws.cloud.lambda.get_function_recursion_config().function_name(function).send().await;
    let found = match asked {
        Err(error) => Err(words(error)),
        Ok(config) => match config.recursive_loop().map(|setting| setting.as_str()) {
            Some("Allow") => Ok("allowed; each run has limits of its own, and all have the ceiling".into()),
            other => Err(format!(
                "{}: a run would be cut after 16 invocations: baton deploy, or aws lambda \
                 put-function-recursion-config --function-name {function} --recursive-loop Allow",
                other.unwrap_or("not told")
            )),
        },
    };
    Finding { what: "recursion", found }
}

/// The services that the function itself reaches, from where it runs.
async fn reached(aws: &Aws, function: &str) -> Vec<Finding> {
    let answer = match aws.ask(function, &Errand::Probe).await {
        Ok(answer) => answer,
        Err(failure) => {
            let advice = "its log says more: baton logs; a mount that fails is often a mount target that is \
                missing, or a network without DNS names";
            return vec![Finding { what: "probe", found: Err(format!("{failure}: {advice}")) }];
        }
    };
    let advices = [
        ("file_system", "look at the access point's owner and the role's elasticfilesystem actions"),
        (
            "lambda",
            "the network needs an endpoint for Lambda or a NAT gateway, the role lambda:InvokeFunction",
        ),
        ("watchdog", "the role needs lambda:InvokeFunction on it; a run goes on without"),
        (
            "table",
            "the network needs the gateway endpoint for DynamoDB, the role dynamodb:PutItem; \
             a run goes on without",
        ),
        ("bucket", "the network needs the gateway endpoint for S3, the role s3:GetObject and s3:PutObject"),
    ];
    let reached = advices.into_iter().filter_map(|(what, advice)| about(what, advice, answer.get(what)?));
    reached
        .chain(answer.get("file_system").and_then(space))
        .chain(answer.get("ceiling").and_then(ceiling))
        .collect()
}

/// The free space of the function's file system. EFS reports 8 EB; the bytes in use cost money.
fn space(file_system: &Value) -> Option<Finding> {
    let bytes = |key: &str| file_system.get(key).and_then(Value::as_u64);
    let (free, used) = (bytes("free")?, bytes("used")?);
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let (free_gb, used_gb) = (gigabytes(free), gigabytes(used));
    let found = if free > BOUNDLESS {
        Ok(format!("{used_gb} in use; EFS grows with its files, and only its costs limit it"))
    } else if free < LEAST_FREE {
        Err(format!(
            "{free_gb} free, {used_gb} in use: remove runs and features that nobody needs, or mount more"
        ))
    } else {
        Ok(format!("{free_gb} free, {used_gb} in use"))
    };
    Some(Finding { what: "space", found })
}

/// The operator's ceiling, and how much of today's is taken.
fn ceiling(answer: &Value) -> Option<Finding> {
    let what = "ceiling";
    if let Some(why) = answer.get("why").and_then(Value::as_str) {
        return Some(Finding { what, found: Err(format!("{why}: no run begins work until it can be read")) });
    }
    let DayItem { day, dollars, dollars_limit, run_dollars_limit, workers_limit, active, active_limit } =
        DayItem::deserialize(answer).ok()?;
    let bound = |limit: f64, words: &str| (limit > 0.0).then(|| format!("{words} {limit}"));
    let bounds = [
        bound(run_dollars_limit, "dollars of a run at most"),
        bound(workers_limit.into(), "workers of a run at most"),
        bound(active_limit.into(), "active runs at most"),
    ];
    let others = bounds.into_iter().flatten().map(|words| format!("; {words}")).collect::<String>();
    let found = if dollars_limit <= 0.0 {
        Ok(format!(
            "none for a day: a job may spend what it says; baton deploy --max-dollars-per-day 50{others}"
        ))
    } else if dollars >= 0.99 * dollars_limit {
        Err(format!(
            "runs have {dollars:.4} of the {dollars_limit} dollars of {day}: no more work begins before \
             midnight, UTC; baton deploy --max-dollars-per-day gives more{others}"
        ))
    } else {
        Ok(format!(
            "runs have {dollars:.4} of the {dollars_limit} dollars of {day}, {active} are active{others}"
        ))
    };
    Some(Finding { what, found })
}

fn about(what: &'static str, advice: &str, answer: &Value) -> Option<Finding> {
    let found = match answer.get("ok")?.as_bool()? {
        true => Ok(format!("reached in {} ms", answer.get("ms").unwrap_or(&Value::Null))),
        false => {
            Err(format!("{}: {advice}", answer.get("why").and_then(Value::as_str).unwrap_or("not reached")))
        }
    };
    Some(Finding { what, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_told_with_what_to_do_when_there_is_little() {
        let found =
            |free: u64| space(&json!({"ok": true, "free": free, "used": 2_500_000_000_u64})).unwrap().found;
        assert!(found(8 << 60).unwrap().starts_with("2.5 GB in use; EFS grows"));
        assert_eq!(found(20_000_000_000).unwrap(), "20.0 GB free, 2.5 GB in use");
        assert!(found(1_000_000).unwrap_err().contains("0.0 GB free, 2.5 GB in use: remove runs"));
        assert!(space(&json!({"ok": false, "why": "not mounted"})).is_none());
    }

    #[test]
    fn the_operators_ceiling_is_told_with_what_is_left_of_it() {
        let found = |dollars: f64, limit: f64| {
            let day = json!({"day": "2026-11-29", "dollars": dollars, "dollars_limit": limit, "active": 2,
                "run_dollars_limit": 5.0});
            ceiling(&day).unwrap().found
        };
        let fine = found(1.25, 50.0).unwrap();
        assert!(
            fine.contains("1.2500 of the 50 dollars of 2026-11-29, 2 are active; dollars of a run at most 5")
        );
        assert!(found(50.0, 50.0).unwrap_err().contains("no more work begins before midnight"));
        assert!(found(3.0, 0.0).unwrap().starts_with("none for a day"));
        assert!(ceiling(&json!({"ok": false, "why": "damaged"})).unwrap().found.is_err());
    }

    #[test]
    fn what_is_known_of_the_memory_quota_is_said() {
        assert!(memory_words(10_240, Some(1_000)).contains("not limited to 3008"));
        assert!(
            memory_words(3_008, Some(10)).contains("10 concurrent executions is usually limited to 3008 MB")
        );
        assert!(memory_words(1_769, None).contains("baton deploy --memory 10240"));
    }

    #[test]
    fn every_trouble_comes_with_what_to_do() {
        let good = about("table", "do this", &json!({"ok": true, "ms": 3})).unwrap();
        assert_eq!(good.found, Ok("reached in 3 ms".into()));
        let bad = about("table", "do this", &json!({"ok": false, "why": "timeout"})).unwrap();
        assert_eq!(bad.found, Err("timeout: do this".into()));
        assert!(about("table", "", &json!({})).is_none(), "an answer of another version tells nothing");
    }
}
