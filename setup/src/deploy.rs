//! `baton deploy`: the network, the trainer and its code, by change sets that are shown before they are
//! carried out.

mod cost;
mod package;
pub mod stack;
mod templates;

pub use package::Package;
pub use templates::{Keep, Templates};

use crate::Failure;
use crate::aws::{Aws, said};
use crate::local::beside;
use aws_sdk_s3::primitives::ByteStream;
use stack::Wanted;
use std::collections::BTreeMap;
use std::path::PathBuf;
use terminal::say;

/// Deploys Baton to AWS, or updates it there.
///
/// An option that is not repeated keeps its value. Every change is shown; one that removes or replaces
/// something asks for --yes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton deploy --dry-run   what would be made, and what it costs\n  \
    baton deploy   in an account of your own\n  \
    baton deploy --role arn:aws:iam::123456789012:role/LabRole   in a lab that allows no new role\n  \
    baton deploy --vpc vpc-1 --subnet-a subnet-1 --subnet-b subnet-2   into an existing network\n  \
    baton deploy --memory 10240 --throughput elastic --email me@example.org")]
pub struct Deploy {
    /// The stack's name, which is also the function's and the table's.
    #[arg(long, default_value = crate::cloud::FUNCTION, value_parser = stack_name)]
    pub stack: String,
    /// The function's binary; without it the one beside this command.
    #[arg(long)]
    pub trainer: Option<PathBuf>,
    /// An existing role; without it roles are made with only the needed permissions.
    #[arg(long)]
    pub role: Option<String>,
    /// An existing network; without it one is made.
    #[arg(long, requires_all = ["subnet_a", "subnet_b"])]
    pub vpc: Option<String>,
    /// A private subnet in it that reaches Lambda, DynamoDB and S3.
    #[arg(long, requires = "vpc")]
    pub subnet_a: Option<String>,
    /// Another one, in another zone.
    #[arg(long, requires = "vpc")]
    pub subnet_b: Option<String>,
    /// Give the network a NAT gateway (about 36 dollars a month) instead of endpoints (about 15).
    #[arg(long, conflicts_with = "vpc")]
    pub nat: bool,
    /// The two zones of a new network; without it the region's first two.
    #[arg(long, value_delimiter = ',', num_args = 2, conflicts_with = "vpc")]
    pub zones: Option<Vec<String>>,
    /// Memory of the function in MB; 1,769 MB come with one CPU.
    #[arg(long, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub memory: Option<u32>,
    /// Concurrent invocations reserved for this function; 0 reserves none.
    #[arg(long)]
    pub reserve: Option<u32>,
    /// Dollars that a run may spend, whatever its job says; 0 is no bound.
    #[arg(long)]
    pub max_dollars_per_run: Option<f64>,
    /// Dollars that all runs of a day may spend together; 0 is no bound.
    #[arg(long)]
    pub max_dollars_per_day: Option<f64>,
    /// Workers that a run may have; 0 is no bound.
    #[arg(long)]
    pub max_workers: Option<u32>,
    /// Runs that may be active at a time; 0 is no bound.
    #[arg(long)]
    pub max_active_runs: Option<u32>,
    /// The file system's throughput.
    #[arg(long, value_parser = ["bursting", "elastic"])]
    pub throughput: Option<String>,
    /// The address to warn when the account's month costs more than --budget.
    #[arg(long)]
    pub email: Option<String>,
    /// The budget per month in dollars.
    #[arg(long)]
    pub budget: Option<u32>,
    /// The parts that are kept when the stack is deleted; this holds until the option is given again.
    #[arg(long, value_delimiter = ',')]
    pub keep: Vec<Keep>,
    /// Templates to use instead of the built-in ones.
    #[arg(long)]
    pub templates: Option<PathBuf>,
    /// Print a template as it would be sent, for the console, and end.
    #[arg(long)]
    pub print: Option<Print>,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Carry out changes that remove or replace something.
    #[arg(long)]
    pub yes: bool,
}

/// One of the two templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Print {
    /// The network's.
    Network,
    /// The trainer's.
    Trainer,
}

impl Deploy {
    /// Deploys.
    ///
    /// # Errors
    /// In words: a binary that would not start, a change that CloudFormation could not make.
    pub async fn run(&self) -> Result<(), Failure> {
        if let Some(print) = self.print {
            let templates = self.of_folder()?.adapted(&self.keep, self.role.is_some());
            let template = if print == Print::Network { templates.network } else { templates.trainer };
            template.lines().for_each(|line| say!("{line}"));
            return Ok(());
        }
        let package = Package::of(&self.trainer.clone().map_or_else(beside, Ok)?)?;
        let aws = Aws::connect().await?;
        let templates = self.templates(&aws).await?;
        self.tell_package(&package, &aws);
        let network = self.network(&aws, &templates).await?;
        let Some(network) = network else { return self.dry_trainer(&templates) };
        // First without code: the bucket for the upload belongs to the stack.
        if aws.stack(&self.stack).await?.is_none_or(|stack| !stack.outputs.contains_key("Bucket")) {
            let made = self.change(&aws, &self.trainer(&templates, &network, &package, None)).await?;
            if !made {
                return Ok(());
            }
        }
        let key = package.key();
        if !self.dry_run {
            upload(&aws, &aws.output(&self.stack, "Bucket").await?, &key, &package).await?;
        }
        self.change(&aws, &self.trainer(&templates, &network, &package, Some(key))).await?;
        if self.dry_run {
            return Ok(());
        }
        // An update may have set the rule to the template's state: a tick switches it to the state that the
        // runs need.
        let tick = protocol::Event::Tick { run: None };
        aws.cloud.send(&self.stack, &tick, false).await?;
        self.tell_next(&aws, network.outbound.as_deref());
        Ok(())
    }

    /// The templates to send: an option that is not given keeps its earlier value.
    async fn templates(&self, aws: &Aws) -> Result<Templates, Failure> {
        let before = aws.stack(&self.stack).await?.map(|stack| stack.parameters).unwrap_or_default();
        let before = |key: &str| before.get(key).cloned().unwrap_or_default();
        let keep = if self.keep.is_empty() {
            Keep::of_parameter(&before(Keep::PARAMETER))
        } else {
            self.keep.clone()
        };
        let role = self.role.clone().unwrap_or_else(|| before("RoleArn"));
        Ok(self.of_folder()?.adapted(&keep, !role.is_empty()))
    }

    fn of_folder(&self) -> Result<Templates, Failure> {
        Templates::load(self.templates.as_deref())
    }

    /// The network to deploy into; none if it would have to be made first and this is a dry run.
    async fn network(&self, aws: &Aws, templates: &Templates) -> Result<Option<Network>, Failure> {
        if let (Some(vpc), Some(a), Some(b)) = (&self.vpc, &self.subnet_a, &self.subnet_b) {
            return Ok(Some(Network { vpc: vpc.clone(), subnets: [a.clone(), b.clone()], outbound: None }));
        }
        let name = network_of(&self.stack);
        // A stack that was deployed into another network stays there.
        if let Some(there) = aws.stack(&self.stack).await?
            && aws.stack(&name).await?.is_none()
            && let Some(network) = Network::of_parameters(&there.parameters)
        {
            return Ok(Some(network));
        }
        let mut parameters = BTreeMap::new();
        if self.nat {
            parameters.insert("Outbound", "nat".to_owned());
        }
        if let Some(zones) = &self.zones {
            parameters.extend([("ZoneA", zones[0].clone()), ("ZoneB", zones[1].clone())]);
        }
        let wanted = Wanted { name: &name, template: &templates.network, parameters };
        if !self.change(aws, &wanted).await?
            && aws.stack(&name).await?.is_none_or(|stack| stack.outputs.is_empty())
        {
            return Ok(None);
        }
        let [vpc, a, b, outbound] = ["VpcId", "SubnetA", "SubnetB", "Outbound"];
        Ok(Some(Network {
            vpc: aws.output(&name, vpc).await?,
            subnets: [aws.output(&name, a).await?, aws.output(&name, b).await?],
            outbound: Some(aws.output(&name, outbound).await?),
        }))
    }

    fn trainer<'a>(
        &'a self,
        templates: &'a Templates,
        network: &Network,
        package: &Package,
        key: Option<String>,
    ) -> Wanted<'a> {
        let [a, b] = network.subnets.clone();
        let mut parameters = BTreeMap::from([
            ("VpcId", network.vpc.clone()),
            ("SubnetA", a),
            ("SubnetB", b),
            ("Architecture", package.architecture.to_owned()),
        ]);
        let given = [
            ("RoleArn", self.role.clone()),
            ("CodeKey", key),
            ("MemorySize", self.memory.map(|mb| mb.to_string())),
            ("ReservedConcurrency", self.reserve.map(|count| count.to_string())),
            ("MaxDollarsPerRun", self.max_dollars_per_run.map(|dollars| dollars.to_string())),
            ("MaxDollarsPerDay", self.max_dollars_per_day.map(|dollars| dollars.to_string())),
            ("MaxWorkers", self.max_workers.map(|count| count.to_string())),
            ("MaxActiveRuns", self.max_active_runs.map(|count| count.to_string())),
            ("Throughput", self.throughput.clone()),
            ("BudgetEmail", self.email.clone()),
            (Keep::PARAMETER, (!self.keep.is_empty()).then(|| Keep::parameter(&self.keep))),
            ("BudgetDollars", self.budget.map(|dollars| dollars.to_string())),
        ];
        parameters.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
        Wanted { name: &self.stack, template: &templates.trainer, parameters }
    }

    /// Shows the changes and, unless this is a dry run, carries them out; false if there were changes that
    /// were not carried out.
    async fn change(&self, aws: &Aws, wanted: &Wanted<'_>) -> Result<bool, Failure> {
        say!("{}:", wanted.name);
        let Some(changes) = stack::plan(aws, wanted).await? else {
            say!("  is as it should be");
            return Ok(true);
        };
        for line in &changes.lines {
            say!("{line}");
        }
        if self.dry_run {
            changes.discard(aws, wanted.name).await?;
            return Ok(false);
        }
        if !changes.lost.is_empty() && !self.yes {
            changes.discard(aws, wanted.name).await?;
            let lost = changes.lost.join(", ");
            return Err(Failure::input(format!(
                "this removes or replaces {lost}: add --yes if you want this"
            )));
        }
        changes.carry_out(aws, wanted.name).await?;
        Ok(true)
    }

    /// The rest of a dry run whose network does not exist yet.
    fn dry_trainer(&self, templates: &Templates) -> Result<(), Failure> {
        let kinds = templates.trainer.lines().filter_map(|line| line.strip_prefix("    Type: "));
        say!("{}: (when the network exists)", self.stack);
        kinds.filter(|kind| kind.starts_with("AWS::")).for_each(|kind| say!("  + {kind}"));
        self.tell_cost(Some(if self.nat { "nat" } else { "endpoints" }));
        Ok(())
    }

    fn tell_package(&self, package: &Package, aws: &Aws) {
        let needs = package.glibc.map_or("nothing of the system".into(), |minor| format!("glibc 2.{minor}"));
        say!(
            "function: {:.1} MB ({:.1} MB zipped) for {}, needs {needs}; region {}",
            package.unzipped as f64 / 1e6,
            package.zip.len() as f64 / 1e6,
            package.architecture,
            aws.region(),
        );
    }

    fn tell_cost(&self, outbound: Option<&str>) {
        say!("costs when nothing runs, per month:");
        for item in cost::idle(outbound) {
            say!("  {:32} ${:.2}", item.what, item.dollars);
        }
        say!("  {}", cost::STORAGE);
    }

    fn tell_next(&self, aws: &Aws, outbound: Option<&str>) {
        let (region, name) = (aws.region(), &self.stack);
        self.tell_cost(outbound);
        say!("");
        say!("kick-off, for `baton start` or as a test event of the console:");
        say!("  {{\"start\": true, \"workers\": 5}}");
        say!("console:");
        say!("  https://{region}.console.aws.amazon.com/lambda/home?region={region}#/functions/{name}");
        say!("next:");
        say!("  baton push --root efs --dataset NAME --weights NAME --job job.json --stack {name}");
        say!("  baton start --run my-run --function {name} && baton watch --run my-run --table {name}");
        say!("  baton pull --run my-run --root efs --stack {name}");
        say!("  baton destroy --stack {name}   when you are done");
    }
}

/// The network for the trainer's stack.
struct Network {
    vpc: String,
    subnets: [String; 2],
    /// How a network of ours reaches the services.
    outbound: Option<String>,
}

impl Network {
    fn of_parameters(parameters: &BTreeMap<String, String>) -> Option<Network> {
        let subnets = [parameters.get("SubnetA")?.clone(), parameters.get("SubnetB")?.clone()];
        Some(Network { vpc: parameters.get("VpcId")?.clone(), subnets, outbound: None })
    }
}

/// The name of the network's stack.
pub(crate) fn network_of(stack: &str) -> String {
    format!("{stack}-network")
}

/// Uploads the zip, unless the bucket has it already.
async fn upload(aws: &Aws, bucket: &str, key: &str, package: &Package) -> Result<(), Failure> {
    if aws.objects.head_object().bucket(bucket).key(key).send().await.is_ok() {
        return Ok(());
    }
    let body = ByteStream::from(package.zip.clone());
    let put = aws.objects.put_object().bucket(bucket).key(key).body(body);
    put.send().await.map(drop).map_err(|error| said("upload", key, error))
}

/// A stack's name. Names of functions are made from it, and may have 64 characters.
fn stack_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if first && text.len() <= 40 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("found {text:?}, expected a letter and up to 39 letters, digits and '-'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stacks_name_leaves_room_for_what_is_made_of_it() {
        assert!(stack_name("baton-2").is_ok() && stack_name(&"a".repeat(40)).is_ok());
        for name in ["", "2b", "a_b", "a.b", &"a".repeat(41)] {
            assert!(stack_name(name).is_err(), "{name}");
        }
        assert!(format!("{}-watchdog", "a".repeat(40)).len() <= 64);
    }
}
