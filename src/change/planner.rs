//! Joins fragments into a program: what must happen under one lock becomes one transaction, and each step gets its
//! phase. The order of the functions is the order of a run.

use super::fragment::{Fragment, Moves, Proof, Restore, Stage};
use super::{
    Active, Context, bodies, constraints, conversion, first_write, generated, listening, made_anew, not_null, pair,
    publications, referring, sync_trigger,
};
use crate::plan::BuildIndexes;
use crate::run::{
    Action, CompareSpec, Condition, Facts, FillSpec, Gate, Is, Phase, Program, Relation, RelationId, Step, StepKey,
    TableFacts, Undo, What,
};
use crate::sql::LockMode;

/// The table of all pairs.
const ON: RelationId = RelationId::MAIN;

/// Returns the program that consists of these fragments.
pub(super) fn program(context: &Context<'_>, mut fragments: Vec<Fragment>) -> Program {
    let alone: Vec<Step> = fragments.iter_mut().flat_map(|fragment| std::mem::take(&mut fragment.steps)).collect();
    let planner = Planner { context, fragments };
    // Within a phase: what is changed alone before expand and after the check.
    let (before, after): (Vec<_>, Vec<_>) = alone.into_iter().partition(|step| step.key.phase < Phase::Backfill);
    let mut steps = before;
    steps.extend(planner.expand());
    steps.extend(planner.backfill());
    steps.extend(planner.compare(Phase::Verify, Stage::Soak, "compare the old and the new column of every row"));
    steps.extend(after);
    steps.extend(planner.verify());
    steps.extend(planner.switch());
    steps.extend(planner.contract());
    let mut phases = Phase::ALL.to_vec();
    if context.plan.indexes.build == BuildIndexes::AfterBackfill {
        phases.swap(1, 2);
    }
    phases.retain(|phase| steps.iter().any(|step| step.key.phase == *phase));
    // A stable sort: the order inside a phase stays.
    steps.sort_by_key(|step| phases.iter().position(|phase| *phase == step.key.phase));
    let relations = context.facts.tables.iter();
    let relation =
        |table: &TableFacts| Relation { table: table.name.clone(), oid: table.oid, partitioned: table.has_members() };
    let relations = relations.map(relation).collect();
    let surround = if context.active.is_empty() { vec![] } else { sync_trigger::surround(context) };
    Program { tag: context.tag.clone(), relations, phases, steps, surround }
}

/// What is said behind a step's title of functions that get another body in it, and of triggers that get other arguments.
fn bodies_in_words(bodies: &Moves, facts: &Facts) -> String {
    if bodies.forth.is_empty() {
        return String::new();
    }
    let functions = match facts.functions.len() {
        0 => String::new(),
        1 => "; a function gets its other body".to_owned(),
        count => format!("; {count} functions get their other bodies"),
    };
    match facts.triggers.len() {
        0 => functions,
        1 => format!("{functions}; a trigger gets its other arguments"),
        count => format!("{functions}; {count} triggers get their other arguments"),
    }
}

struct Planner<'a> {
    context: &'a Context<'a>,
    fragments: Vec<Fragment>,
}

impl Planner<'_> {
    /// Whether old and new columns exist side by side, so that there is a sync trigger.
    fn has_pairs(&self) -> bool {
        !self.context.active.is_empty()
    }

    /// Whether what is renamed away are mirrors alone, or none of them; `None` where there are both, or neither.
    fn borrowing(&self) -> Option<bool> {
        let mut all = self.context.active.iter().map(|a| a.change.borrows());
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    /// Whether a mirror has the old name until it goes.
    fn trades_names(&self) -> bool {
        self.context.active.iter().any(|a| a.change.trades_names)
    }

    /// Whether a new column was there before the run, and stays when it is rolled back.
    fn adopts(&self) -> bool {
        self.context.active.iter().any(|a| a.facts.adopted.is_some())
    }

    fn moves(&self, of: impl Fn(&Fragment) -> &Moves) -> Moves {
        let mut all = Moves::default();
        for fragment in &self.fragments {
            let Moves { forth, back } = of(fragment);
            all.extend(Moves { forth: forth.clone(), back: back.clone() });
        }
        all
    }

    /// What the catalog shows at `stage`, before every row is filled or afterwards.
    fn layout(&self, stage: Stage, filled: bool) -> Vec<Condition> {
        let own = self.fragments.iter().flat_map(|fragment| fragment.layout.at(stage)).cloned();
        let sync = self.has_pairs().then(|| {
            let said = sync_trigger::is_filled(self.context).filter(|_| filled);
            let triggers = sync_trigger::triggers_are(self.context, filled);
            sync_trigger::functions_are(self.context, stage).chain(triggers).chain(said)
        });
        own.chain(sync.into_iter().flatten()).map(|is| is.on(ON)).collect()
    }

    fn compare_spec(&self, stage: Stage) -> CompareSpec {
        let pairs = self.fragments.iter().filter_map(|fragment| fragment.compare.as_ref()?.at(stage).clone().into());
        self.context.compare_spec(pairs.collect())
    }

    /// Whether a value of one of these new columns may have no way back: its old column is then empty.
    fn one_way(&self, which: impl Fn(&Active<'_>) -> bool) -> bool {
        self.context.active.iter().any(|a| which(a) && !a.facts.reverse.is_total())
    }

    /// What must hold before an undo gives old columns a name back under which applications read them: where a value has no
    /// way back, they would read NULL.
    fn readable(&self, stage: Stage, which: impl Fn(&Active<'_>) -> bool) -> Option<Gate> {
        self.one_way(which).then(|| Gate::NothingOnlyNew { spec: self.compare_spec(stage), one_way: true })
    }

    /// Column, helper functions and triggers in one transaction: after a commit in between, writes would not be synced.
    fn expand(&self) -> Option<Step> {
        if !self.has_pairs() {
            return None;
        }
        let Moves { mut forth, back } = self.moves(|fragment| &fragment.expand);
        forth.extend(sync_trigger::create(self.context));
        let mut undo = sync_trigger::drop(self.context);
        undo.extend(back);
        let one_way = self.one_way(|_| true);
        let written = self.context.active.iter().filter(|a| !generated::is_made(a));
        let written: Vec<_> = written.map(|a| conversion::pair(self.context, a, Stage::Soak)).collect();
        let title = if self.adopts() {
            "take over the new column: crossfade's sync trigger in place of those made by hand, and the write counters"
        } else {
            "add the new column, its sync trigger and the write counters"
        };
        let step = Step::new(Phase::Expand, What::Columns, title, Action::Transaction(forth));
        Some(step.locks(ON, LockMode::AccessExclusive).done_when(self.layout(Stage::Soak, false)).undo(Undo::Actions {
            // A column that stays loses no value, and one that nobody writes has none of its own.
            needs: if written.is_empty() || self.adopts() && !one_way {
                vec![]
            } else {
                vec![Gate::NothingOnlyNew { spec: self.context.compare_spec(written), one_way }]
            },
            actions: vec![Action::Transaction(undo)],
        }))
    }

    fn backfill(&self) -> Vec<Step> {
        let fills: Vec<_> = self.fragments.iter().filter_map(|fragment| fragment.fill.clone()).collect();
        if fills.is_empty() {
            return vec![];
        }
        let columns: Vec<_> = fills.iter().map(|fill| fill.column.clone()).collect();
        let table = self.context.table();
        let spec = FillSpec { relation: ON, table: table.clone(), fills };
        let statement = format!("ANALYZE {} ({})", table.sql(), columns.join(", "));
        let title = "gather statistics, so that the first query plans with the new column are good";
        let says_filled = !sync_trigger::say_filled(self.context, true).is_empty();
        let filled = (self.has_pairs() && says_filled).then(|| {
            let say = |filled| Action::Transaction(sync_trigger::say_filled(self.context, filled));
            let title = if sync_trigger::is_filled(self.context).is_some() {
                "every row is filled: no UPDATE has to look for one that is not, and NULL or the default in the new column counts as written"
            } else {
                "every row is filled: no UPDATE has to look for one that is not"
            };
            Step::new(Phase::Backfill, What::Filled, title, say(true))
                .locks(ON, LockMode::AccessExclusive)
                .done_when(self.layout(Stage::Soak, true))
                .supersedes([StepKey::new(Phase::Expand, What::Columns)])
                .undo(Undo::Actions { needs: vec![], actions: vec![say(false)] })
        });
        let fill = [
            Step::new(
                Phase::Backfill,
                What::Fill(ON),
                if self.has_pairs() {
                    "fill the rows that existed before the trigger"
                } else {
                    "fill the rows that existed before the column"
                },
                Action::Fill(spec),
            )
            .locks(ON, LockMode::RowExclusive)
            .undo(Undo::nothing(if self.adopts() {
                "the adopted column keeps what it was filled with"
            } else {
                "undoing expand drops the filled column"
            })),
            Step::new(Phase::Backfill, What::Analyze(ON), title, Action::concurrent(statement))
                .locks(ON, LockMode::ShareUpdateExclusive)
                .undo(Undo::nothing(if self.adopts() {
                    "statistics do no harm"
                } else {
                    "statistics are dropped with the column"
                })),
        ];
        let title = "let triggers for UPDATE OF the old column fire for the new name as well";
        let listen = self.listens().then(|| {
            Step::new(Phase::Backfill, What::Listen, title, Action::Transaction(listening::listen(self.context)))
                .locks(ON, LockMode::AccessExclusive)
                .undo(Undo::by(listening::narrow(self.context)))
        });
        fill.into_iter().chain(filled).chain(listen).collect()
    }

    /// Whether triggers of others fire for columns that borrow their new names.
    fn listens(&self) -> bool {
        !self.context.facts.main().listeners.is_empty()
    }

    fn compare(&self, phase: Phase, stage: Stage, title: &str) -> Option<Step> {
        let spec = self.compare_spec(stage);
        (!spec.pairs.is_empty()).then(|| {
            Step::new(phase, What::Compare(ON), title, Action::Compare(spec))
                .locks(ON, LockMode::AccessShare)
                .undo(Undo::nothing("a check changes nothing"))
        })
    }

    fn proofs(&self, late: bool) -> Vec<&Proof> {
        self.fragments.iter().flat_map(|fragment| &fragment.not_null).filter(|proof| proof.late == late).collect()
    }

    /// What comes after the check and the late indexes.
    fn verify(&self) -> Vec<Step> {
        let mut steps = not_null::prove(self.context, Phase::Verify, &self.proofs(false));
        let relaxed: Vec<_> = self.fragments.iter().filter_map(|fragment| fragment.relax.as_ref()).collect();
        steps.extend(not_null::relax(self.context, &relaxed, self.compare_spec(Stage::Soak)));
        steps.extend(made_anew::refills(self.context).map(|[back, _]| back));
        steps
    }

    fn switch(&self) -> Vec<Step> {
        if !self.has_pairs() {
            return vec![];
        }
        let quiet = Gate::Quiet { quiet: self.context.plan.contract.quiet };
        let borrowing = self.borrowing() == Some(true);
        let title = if borrowing {
            "wait until nobody writes under the old name"
        } else {
            "wait until nobody writes the old column"
        };
        let mut steps: Vec<_> = self.swap().into_iter().collect();
        steps.extend(self.fragments.iter().flat_map(|fragment| fragment.after_swap.clone()));
        steps.extend(made_anew::refills(self.context).map(|[_, forth]| forth));
        steps.push(
            Step::new(Phase::Switch, What::Quiet, title, Action::Await(quiet))
                .undo(Undo::nothing("waiting changes nothing")),
        );
        steps.extend(self.compare(
            Phase::Switch,
            Stage::Swapped,
            if borrowing {
                "compare every row again before the old name goes"
            } else {
                "compare every row again before the old column is retired"
            },
        ));
        steps
    }

    /// Exchanges the names of old and new columns, with defaults and names of indexes and constraints.
    fn swap(&self) -> Option<Step> {
        if !self.context.active.iter().any(|a| a.change.keeps_name()) {
            return None;
        }
        let exchanged: Vec<_> =
            self.context.active.iter().filter(|a| a.change.keeps_name()).map(|a| a.change.old.as_str()).collect();
        let made_anew = !self.context.facts.main().made_anew.is_empty();
        let mut moves = publications::surround(self.context, &exchanged, self.moves(|fragment| &fragment.swap));
        if made_anew {
            moves = made_anew::surround(self.context, &exchanged, moves);
        }
        let Moves { mut forth, mut back } = moves;
        forth.extend(pair::relaxed_in_swap(self.context));
        forth.extend(sync_trigger::functions(self.context, Stage::Swapped));
        back.extend(sync_trigger::functions(self.context, Stage::Soak));
        let functions = &self.context.facts.main().functions_to_touch;
        let touch = functions.iter().map(|f| format!("ALTER FUNCTION {} COST {}", f.signature, f.cost));
        forth.extend(touch.clone());
        back.extend(touch);
        let bodies = bodies::moves(self.context, &StepKey::new(Phase::Switch, What::Swap));
        let others = bodies_in_words(&bodies, self.context.facts);
        forth.extend(bodies.forth);
        back.extend(bodies.back);
        let title = if made_anew {
            "swap the names of the old and the new column, and make anew what hangs on them"
        } else {
            "swap the names of the old and the new column"
        };
        let above = exchanged.iter().filter(|_| made_anew).map(|column| (*column).to_owned());
        let mut actions: Vec<_> = self.fragments.iter().flat_map(|fragment| fragment.before_back.clone()).collect();
        actions.push(Action::Transaction(back));
        let title = format!("{title}{others}");
        let mut step = Step::new(Phase::Switch, What::Swap, title, Action::Transaction(forth)).above(above);
        for referring in referring::tables(self.context) {
            step = step.locks(referring, LockMode::AccessExclusive);
        }
        Some(
            step.locks(ON, LockMode::AccessExclusive)
                .needs([Gate::Verified { max_age: self.context.plan.verify.max_age }])
                .done_when(self.layout(Stage::Swapped, true))
                .supersedes(self.renamed())
                .supersedes([StepKey::new(Phase::Verify, What::RelaxOld)])
                .undo(Undo::Actions {
                    needs: self.readable(Stage::Swapped, |a| a.change.keeps_name()).into_iter().collect(),
                    actions,
                }),
        )
    }

    /// Steps whose conditions name columns, indexes or constraints that a renaming step gives other names.
    fn renamed(&self) -> Vec<StepKey> {
        let own = self.fragments.iter().flat_map(|fragment| fragment.renamed.clone());
        let layouts = [StepKey::new(Phase::Expand, What::Columns), StepKey::new(Phase::Backfill, What::Filled)];
        layouts.into_iter().chain(own).chain(not_null::keys()).collect()
    }

    fn contract(&self) -> Vec<Step> {
        let mut steps = not_null::prove(self.context, Phase::Contract, &self.proofs(true));
        let Some(retire) = self.retire() else { return steps };
        steps.push(retire);
        // Even where it is nothing: it can be made longer while the run goes on.
        let grace = self.context.plan.contract.grace;
        let title = "keep the retired column for the grace period";
        steps.push(
            Step::new(Phase::Contract, What::Grace, title, Action::Await(Gate::Grace { grace }))
                .undo(Undo::nothing("waiting changes nothing")),
        );
        steps.extend(self.compare(Phase::Contract, Stage::Retired, "compare every row one last time"));
        steps.push(self.drop());
        steps
    }

    /// What the steps that give something up require; nothing if nothing is compared.
    fn verified(&self) -> Option<Gate> {
        self.has_pairs().then_some(Gate::Verified { max_age: self.context.plan.verify.max_age })
    }

    /// Renames the old columns away. Those of pairs stay in sync, so that the way back is one short transaction.
    fn retire(&self) -> Option<Step> {
        let Moves { mut forth, mut back } = self.moves(|fragment| &fragment.retire);
        if forth.is_empty() {
            return None;
        }
        if self.listens() {
            forth.splice(0..0, listening::narrow(self.context));
            back.extend(listening::listen(self.context));
        }
        let bodies = bodies::moves(self.context, &StepKey::new(Phase::Contract, What::Retire));
        let others = bodies_in_words(&bodies, self.context.facts);
        forth.extend(bodies.forth);
        back.extend(bodies.back);
        if self.has_pairs() {
            forth.extend(sync_trigger::functions(self.context, Stage::Retired));
            back.extend(sync_trigger::functions(self.context, Stage::Swapped));
            let (before, after) = first_write::around(self.context);
            forth.splice(0..0, before);
            forth.extend(after);
        }
        let quiet = self.has_pairs().then_some(Gate::Quiet { quiet: self.context.plan.contract.quiet });
        let title = match self.borrowing() {
            Some(true) if self.trades_names() => {
                "give the column its new name, and the mirror that lent it the old one"
            }
            Some(true) => "give the column its new name; the mirror that lent it stays in sync",
            Some(false) => "rename the old column away; it stays in sync",
            None if self.has_pairs() => "give each column its last name; those that go stay in sync",
            None => "rename the column away; its values stay",
        };
        let restored: Vec<_> = self.fragments.iter().filter_map(|fragment| fragment.restore.as_ref()).collect();
        // Only the last action gives the columns their names back: what comes before it can be repeated after a kill.
        let (mut actions, set) = not_null::restore(self.context, &restored);
        back.extend(set);
        actions.push(Action::Transaction(back));
        let filled = |r: &&Restore| Gate::NoNulls { relation: ON, column: r.retired.clone() };
        let readable = self.readable(Stage::Retired, |a| !a.change.keeps_name());
        let needs = restored.iter().map(filled).chain(readable).collect();
        Some(
            Step::new(Phase::Contract, What::Retire, format!("{title}{others}"), Action::Transaction(forth))
                .locks(ON, LockMode::AccessExclusive)
                .needs(self.verified())
                .needs(quiet)
                .done_when(self.layout(Stage::Retired, true))
                .supersedes(self.renamed())
                .supersedes([StepKey::new(Phase::Switch, What::Swap), StepKey::new(Phase::Verify, What::RelaxOld)])
                .undo(Undo::Actions { needs, actions }),
        )
    }

    /// Drops what was retired, with triggers and helpers.
    fn drop(&self) -> Step {
        let mut statements = if self.has_pairs() { sync_trigger::drop(self.context) } else { vec![] };
        let (mut needs, mut gone) = (vec![], vec![]);
        let goes: Vec<_> = self.fragments.iter().filter_map(|fragment| fragment.drop.goes.clone()).collect();
        let goes = goes.join(", ");
        for fragment in &self.fragments {
            needs.extend(fragment.drop.needs.clone());
            statements.extend(fragment.drop.statements.clone());
            gone.extend(fragment.drop.gone.clone());
        }
        if self.has_pairs() {
            let tag = &self.context.tag;
            gone.extend([tag.sync_function(), tag.around_function()].map(|name| Is::NoFunction { name }));
        }
        let (title, gone_for_good) = if self.has_pairs() {
            let gone = match self.borrowing() {
                Some(true) => "the table has the old name no more; its values are where they always were",
                _ => "the old column is gone",
            };
            (format!("drop {goes}, and the sync trigger with its functions"), gone)
        } else {
            (format!("drop {goes}"), "the column is gone")
        };
        let dropped = self.fragments.iter().flat_map(|fragment| fragment.dropped.clone());
        let mut step = Step::new(Phase::Contract, What::Drop, title, Action::Transaction(statements))
            .locks(ON, LockMode::AccessExclusive);
        // A foreign key that goes takes its triggers on the other table along.
        for other in constraints::referenced(self.context) {
            step = step.locks(other, LockMode::AccessExclusive);
        }
        step.supersedes(dropped)
            .needs(self.verified())
            // The name that goes now could be written until now.
            .needs(self.trades_names().then_some(Gate::Quiet { quiet: self.context.plan.contract.quiet }))
            .needs(needs)
            .done_when(gone.into_iter().map(|is| is.on(ON)))
            .supersedes([StepKey::new(Phase::Contract, What::Retire)])
            .undo(Undo::PointOfNoReturn(gone_for_good.to_owned()))
    }
}
