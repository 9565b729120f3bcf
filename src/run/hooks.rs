//! Which hooks a run owes. Pure: a function of its plan and its log.

use super::{Entry, HookKey, Phase};
use crate::plan::{Hook, HookTime};

/// A hook that is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The hook.
    pub hook: Hook,
    /// The id under which it was begun, if it may have run already.
    pub id: Option<String>,
}

/// Returns the hooks of `hooks` that are to be run before `phase`, or, with `None`, after phases that are done; `log` is the
/// whole log of the run, oldest first.
///
/// A hook before a phase is asked each time: what it said an hour ago is not so now. One after a phase is owed until its end
/// is recorded, or until the phase is undone.
pub fn owed<'l>(hooks: &[Hook], log: impl Iterator<Item = &'l Entry>, phase: Option<Phase>) -> Vec<Owed> {
    let mut owed: Vec<Owed> = vec![];
    let mut begun: Vec<(&HookKey, &str)> = vec![];
    for entry in log {
        match entry {
            Entry::PhaseDone { phase } => {
                let after = |hook: &&Hook| hook.when == HookTime::After && hook.phase == *phase;
                owed.extend(hooks.iter().filter(after).map(|hook| Owed { hook: hook.clone(), id: None }));
            }
            Entry::UndoStarted { .. } => owed.clear(),
            Entry::HookStarted { hook, id } => begun.push((hook, id)),
            Entry::HookEnded { hook, .. } => {
                begun.retain(|(begun, _)| *begun != hook);
                owed.retain(|owed| HookKey::of(&owed.hook) != *hook);
            }
            _ => {}
        }
    }
    if let Some(phase) = phase {
        let before = |hook: &&Hook| hook.when == HookTime::Before && hook.phase == phase;
        owed = hooks.iter().filter(before).map(|hook| Owed { hook: hook.clone(), id: None }).collect();
    }
    for owed in &mut owed {
        let key = HookKey::of(&owed.hook);
        owed.id = begun.iter().rev().find(|(begun, _)| **begun == key).map(|(_, id)| (*id).to_owned());
    }
    owed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::HookName;

    fn hook(when: HookTime, phase: Phase, run: &str) -> Hook {
        Hook { when, phase, run: HookName::new(run).unwrap(), timeout: Hook::TIMEOUT }
    }

    #[test]
    fn a_hook_after_a_phase_is_owed_until_its_end_is_recorded() {
        let hooks = [hook(HookTime::After, Phase::Verify, "tell"), hook(HookTime::Before, Phase::Switch, "ask")];
        let names = |log: &[Entry], phase| {
            let names = owed(&hooks, log.iter(), phase).into_iter().map(|owed| (owed.hook.run.to_string(), owed.id));
            names.collect::<Vec<_>>()
        };
        let mut log = vec![Entry::Registered, Entry::PhaseDone { phase: Phase::Expand }];
        assert_eq!(names(&log, None), []);
        log.push(Entry::PhaseDone { phase: Phase::Verify });
        assert_eq!(names(&log, None), [("tell".to_owned(), None)]);
        let key = HookKey::of(&hooks[0]);
        log.push(Entry::HookStarted { hook: key.clone(), id: "7".to_owned() });
        assert_eq!(names(&log, None), [("tell".to_owned(), Some("7".to_owned()))]);
        let ended =
            |hook| Entry::HookEnded { hook, id: "7".to_owned(), ok: false, how: String::new(), output: String::new() };
        log.push(ended(key));
        assert_eq!(names(&log, None), []);
        // Asked each time, with the same id where it may have run.
        assert_eq!(names(&log, Some(Phase::Switch)), [("ask".to_owned(), None)]);
        let key = HookKey::of(&hooks[1]);
        log.push(Entry::HookStarted { hook: key.clone(), id: "8".to_owned() });
        assert_eq!(names(&log, Some(Phase::Switch)), [("ask".to_owned(), Some("8".to_owned()))]);
        log.push(ended(key));
        assert_eq!(names(&log, Some(Phase::Switch)), [("ask".to_owned(), None)]);
        assert_eq!(names(&log, Some(Phase::Contract)), []);
        // What is undone is owed no more, and again when it is done again.
        log.push(Entry::PhaseDone { phase: Phase::Verify });
        log.push(Entry::UndoStarted { to: Some(Phase::Expand) });
        assert_eq!(names(&log, None), []);
        log.push(Entry::PhaseDone { phase: Phase::Verify });
        assert_eq!(names(&log, None).len(), 1);
    }
}
