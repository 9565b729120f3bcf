//! Who is told, and what is run.

use super::{Code, Validator};
use crate::ident::{DestinationName, HookName};
use crate::plan::file::{HookFile, NotifyFile};
use crate::plan::settings::duration;
use crate::plan::{Hook, HookTime, Notify, Topic};

impl Validator<'_> {
    pub(super) fn notify(&mut self, files: &[NotifyFile]) -> Vec<Notify> {
        let mut all: Vec<Notify> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = |key: &str| format!("/notify/{index}/{key}");
            let Some(to) = file.to.as_deref().and_then(|to| self.name(&at("to"), to, DestinationName::new)) else {
                continue;
            };
            if all.iter().any(|other| other.to == to) {
                let message = format!("`{to}` is given twice");
                self.report(
                    Code::DuplicateValue,
                    self.places.value(&at("to")),
                    message,
                    "list all topics in one place",
                );
            }
            let every = || Topic::WORDS.iter().filter_map(|word| Topic::of(word.word)).collect();
            let words: Vec<_> = file.on.iter().flatten().map(|topic| topic.as_str()).collect();
            self.no_duplicates(&at("on"), &words);
            let mut on: Vec<Topic> = file.on.clone().unwrap_or_else(every);
            on.sort_unstable();
            all.push(Notify { to, shape: file.shape.unwrap_or_default(), on });
        }
        all
    }

    pub(super) fn hooks(&mut self, files: &[HookFile]) -> Vec<Hook> {
        let mut all: Vec<Hook> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = |key: &str| format!("/hooks/{index}/{key}");
            let point = match (file.before, file.after) {
                (Some(phase), None) => Some((HookTime::Before, phase)),
                (None, Some(phase)) => Some((HookTime::After, phase)),
                _ => {
                    let span = self.places.value(&format!("/hooks/{index}"));
                    let message = "a hook needs exactly one of `before` and `after`";
                    self.report(Code::ExactlyOne, span, message, "for example `before: switch`");
                    None
                }
            };
            let run = file.run.as_deref().and_then(|run| self.name(&at("run"), run, HookName::new));
            let timeout = match file.timeout.as_deref().map(duration) {
                None => Hook::TIMEOUT,
                Some(Ok(time)) if !time.is_zero() && time <= Hook::LONGEST => time,
                Some(Ok(_)) => {
                    let span = self.places.value(&at("timeout"));
                    let message = "`timeout` must be more than nothing and at most 1h";
                    self.report(Code::OutOfRange, span, message, "what takes longer than that is no hook");
                    continue;
                }
                Some(Err(wrong)) => {
                    let span = self.places.value(&at("timeout"));
                    self.report(wrong.code, span, wrong.message, wrong.help);
                    continue;
                }
            };
            let (Some((when, phase)), Some(run)) = (point, run) else { continue };
            let hook = Hook { when, phase, run, timeout };
            if all.iter().any(|other| other.point() == hook.point() && other.run == hook.run) {
                let message = format!("`{}` is given twice for {}", hook.run, hook.point());
                self.report(Code::DuplicateValue, self.places.value(&at("run")), message, "remove one of them");
            }
            all.push(hook);
        }
        all
    }
}
