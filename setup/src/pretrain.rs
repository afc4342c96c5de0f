//! `baton pretrain`: makes the weights of `baton_small` from generated images only.

use crate::Failure;
use crate::assets::NORMALISATION;
use crate::output::write_whole;
use data_prep::generate::ClassSet;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use terminal::say;
use transfer::images::Preprocessing;
use transfer::pretrain::{Examples, Options, Step, pretrain};

/// Side of the images, in pixels.
const SIDE: usize = 48;
/// Images held out to score the result: their numbers are above all that a step draws.
const HELD_OUT: u64 = 1 << 40;

/// Pretrains the small network that the demo uses, on generated images of 28 base classes.
///
/// Every step draws new images. The same arguments make the same file, whatever the number of threads.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    baton pretrain --out baton_small.safetensors   the weights in the command, about 10 minutes on 2 cores")]
pub struct Pretrain {
    /// The safetensors file to write.
    #[arg(long)]
    pub out: PathBuf,
    /// Optimizer steps.
    #[arg(long, default_value_t = 1_500)]
    pub steps: u64,
    /// Images in a step.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    pub rate: f64,
    /// Seed of the first weights and of the images.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Pretrain {
    /// Trains, scores on unseen images, and writes the file.
    ///
    /// # Errors
    /// Diverged training, or a file that cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        let network = networks::network("baton_small").map_err(Failure::input)?;
        let preprocessing = Preprocessing { size: SIDE, normalisation: NORMALISATION };
        let Pretrain { steps, batch, rate, seed, .. } = *self;
        let options = Options { steps, batch, rate, weight_decay: 0.02, seed, preprocessing };
        let bar = ProgressBar::new(steps);
        let style = "{bar:30} {pos}/{len} steps, {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        let mut recent = (0.0, 0.0);
        let tell = |step: Step| {
            let keep = if step.done == 1 { 0.0 } else { 0.95 };
            recent = (keep * recent.0 + (1.0 - keep) * step.loss, keep * recent.1 + (1.0 - keep) * step.top1);
            bar.set_message(format!("loss {:.3}, top-1 {:.3}", recent.0, recent.1));
            bar.set_position(step.done);
            if bar.is_hidden() && step.done.is_multiple_of(50) {
                say!("step {} of {steps}: loss {:.4}, top-1 {:.3}", step.done, recent.0, recent.1);
            }
        };
        let trained = pretrain(&network, &options, |step| examples(seed, step * batch as u64, batch), tell)
            .map_err(Failure::of)?;
        bar.finish_and_clear();
        let classes = ClassSet::Base.names().len();
        let top1 = trained.top1(&examples(seed, HELD_OUT, classes * 50)).map_err(Failure::of)?;
        let mut file = Vec::new();
        trained.write(&mut file).map_err(Failure::io("write", &self.out))?;
        write_whole(&self.out, &file)?;
        say!("{}: top-1 {top1:.3} on {} images that it has not seen", self.out.display(), classes * 50);
        Ok(())
    }
}

/// `count` images from number `first` on, of the classes in turn.
fn examples(seed: u64, first: u64, count: usize) -> Examples {
    let classes = ClassSet::Base.names().len() as u64;
    let mut examples = Examples::default();
    for number in first..first + count as u64 {
        let class = number % classes;
        examples.images.extend(ClassSet::Base.draw(class as usize, number, SIDE, seed));
        examples.labels.push(class as u32);
    }
    examples
}
