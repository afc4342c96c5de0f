//! Exactly one combine for each stage, with 64 workers that finish together, a hundred times. With processes.

use protocol::Fact;
use serde_json::json;
use tests::World;

#[test]
fn sixty_four_workers_make_one_combine_a_hundred_times() {
    let world = World::new(8);
    let job = world.job(json!({"rounds": 100, "agree": "average"}));
    let mut local = world.local();
    local.concurrency = Some(64);
    let outcome = world.run(&local, "crowd", 64, &job);
    let facts = world.facts("crowd");
    // The last stage is the end, which publishes the model: it is begun like a combine, and not combined.
    let mut begun = vec![0; 102];
    let mut done = vec![0; 101];
    let mut again = 0;
    for fact in &facts {
        match fact {
            Fact::Begun { target, .. } if target.worker.is_none() => begun[target.stage as usize] += 1,
            Fact::CombineDone { combined, .. } => done[combined.stage as usize] += 1,
            Fact::SentAgain { targets, .. } => again += targets.len(),
            _ => {}
        }
    }
    assert_eq!(done, vec![1; 101], "each stage is combined once");
    assert_eq!(begun, vec![1; 102], "each combine is begun once: {again} events were sent again");
    // 64 workers and a combine in each of 101 stages, and the end; work that was sent again may have begun
    // once more.
    let all = facts.iter().filter(|fact| matches!(fact, Fact::Begun { .. })).count();
    assert!(
        (101 * 65 + 1..=101 * 65 + 1 + again).contains(&all),
        "{all} legs and combines begun, {again} sent again"
    );
    println!("{all} begun, {again} sent again, {} invocations", outcome.counts.invocations);
}
