//! Several plans for one database: in which order they can run, and where they get in each other's way.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{AddColumn, Change, ColumnName, DropColumn, Plan, PlanName, RenameColumn, TableName};

/// In which order plans can run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Order {
    /// The plans by their places in the list that was given, each behind those that it comes after. Plans of a circle come
    /// last.
    pub order: Vec<usize>,
    /// For each place in the list, the places that it comes after.
    pub after: Vec<Vec<usize>>,
    /// Plans that require each other in a circle, in the order in which they do; each circle once.
    pub circles: Vec<Vec<usize>>,
    /// What keeps plans apart, or from being run at all.
    pub conflicts: Vec<Conflict>,
}

/// Why plans do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The plans, by their places in the list.
    pub plans: Vec<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Returns the order of `plans`. A plan comes after those that it requires; of two plans on one table the one that stands
/// first in the list comes first, unless it requires the other.
pub fn order(plans: &[&Plan]) -> Order {
    let mut graph = Graph::of(plans);
    let circles = graph.circles();
    graph.keep_tables_in_order(plans);
    let mut conflicts = same_name(plans);
    conflicts.extend(pairs(plans, &graph));
    Order { order: graph.sorted(), after: graph.after, circles, conflicts }
}

/// Returns the columns of `table` that a plan brings, under the names that they have when it is done.
pub(crate) fn made_columns(plan: &Plan, table: &TableName) -> Vec<ColumnName> {
    let made = |change: &Change| match change {
        Change::RenameColumn(RenameColumn { to, .. }) => Some(to.clone()),
        Change::AddColumn(AddColumn { name, .. }) => Some(name.clone()),
        Change::ChangeType(retype) if !retype.keep_name => Some(retype.via.clone()),
        _ => None,
    };
    if plan.table == *table { plan.changes.iter().filter_map(made).collect() } else { vec![] }
}

/// Returns the columns of `table` that a plan takes away.
fn taken_columns(plan: &Plan, table: &TableName) -> Vec<ColumnName> {
    let taken = |change: &Change| match change {
        Change::RenameColumn(RenameColumn { from, .. }) => Some(from.clone()),
        Change::DropColumn(DropColumn { column }) => Some(column.clone()),
        Change::ChangeType(retype) if !retype.keep_name => Some(retype.column.clone()),
        _ => None,
    };
    if plan.table == *table { plan.changes.iter().filter_map(taken).collect() } else { vec![] }
}

/// Returns the columns that must be there for a plan to begin, with their tables.
pub(crate) fn needed_columns(plan: &Plan) -> Vec<(TableName, ColumnName)> {
    let made = made_columns(plan, &plan.table);
    let own = |column: &ColumnName| (plan.table.clone(), column.clone());
    let mut needed: Vec<_> =
        plan.requires.columns.iter().map(|column| (column.table.clone(), column.column.clone())).collect();
    for change in &plan.changes {
        match change {
            Change::RenameColumn(RenameColumn { from, .. }) => needed.push(own(from)),
            Change::ChangeType(retype) => needed.push(own(&retype.column)),
            Change::DropColumn(DropColumn { column }) => needed.push(own(column)),
            Change::AddColumn(_) | Change::DropIndex(_) => {}
            Change::AddIndex(_) | Change::AddConstraint(_) => {
                let columns = change.claims().into_iter().filter_map(|claim| match claim {
                    super::Claim::Column(column) => Some(column),
                    super::Claim::Name(_) => None,
                });
                // An index may be on a column that the plan itself brings, under its first name or its last.
                let first_names: Vec<_> = plan.pairs().map(|(_, pair)| pair.new).collect();
                needed.extend(columns.filter(|c| !made.contains(c) && !first_names.contains(c)).map(own));
            }
        }
    }
    needed
}

/// Which plans come after which.
struct Graph {
    after: Vec<Vec<usize>>,
}

impl Graph {
    fn of(plans: &[&Plan]) -> Self {
        let of_name =
            |name: &PlanName| (0..plans.len()).filter(|place| plans[*place].name == *name).collect::<Vec<_>>();
        let after = |(place, plan): (usize, &&Plan)| {
            let required: BTreeSet<usize> = plan.requires.plans.iter().flat_map(of_name).collect();
            required.into_iter().filter(|other| *other != place).collect()
        };
        Self { after: plans.iter().enumerate().map(after).collect() }
    }

    /// Returns whether `later` comes after `earlier`, directly or not.
    fn comes_after(&self, later: usize, earlier: usize) -> bool {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![later]);
        while let Some(place) = todo.pop() {
            for before in &self.after[place] {
                if *before == earlier {
                    return true;
                }
                if seen.insert(*before) {
                    todo.push(*before);
                }
            }
        }
        false
    }

    /// Adds what the order of the list says of plans on one table. It never makes a circle.
    fn keep_tables_in_order(&mut self, plans: &[&Plan]) {
        for later in 0..plans.len() {
            for earlier in 0..later {
                if plans[earlier].table == plans[later].table
                    && !self.comes_after(earlier, later)
                    && !self.comes_after(later, earlier)
                {
                    self.after[later].push(earlier);
                    self.after[later].sort_unstable();
                }
            }
        }
    }

    /// Returns the shortest circle through each plan that is in one, without repeating any plan.
    fn circles(&self) -> Vec<Vec<usize>> {
        let (mut circles, mut told) = (Vec::new(), BTreeSet::new());
        for place in 0..self.after.len() {
            if told.contains(&place) {
                continue;
            }
            if let Some(circle) = self.circle(place) {
                told.extend(circle.iter().copied());
                circles.push(circle);
            }
        }
        circles
    }

    /// Returns the shortest way from a plan over those that it comes after back to itself.
    fn circle(&self, start: usize) -> Option<Vec<usize>> {
        let mut ways = std::collections::VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = *way.last()?;
            for before in &self.after[last] {
                if *before == start {
                    return Some(way);
                }
                if seen.insert(*before) {
                    ways.push_back(way.iter().copied().chain([*before]).collect());
                }
            }
        }
        None
    }

    /// Returns the places so that each comes after those that it must; what is left are circles and what waits for them.
    fn sorted(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut left: BTreeSet<usize> = (0..self.after.len()).collect();
        loop {
            let ready =
                left.iter().copied().find(|place| self.after[*place].iter().all(|before| !left.contains(before)));
            let Some(ready) = ready else { break };
            left.remove(&ready);
            order.push(ready);
        }
        order.extend(left);
        order
    }
}

fn same_name(plans: &[&Plan]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        let all: Vec<_> = (0..plans.len()).filter(|other| plans[*other].name == plan.name).collect();
        if all.len() > 1 && all[0] == place {
            let message = format!("{} plans are called {}", all.len(), plan.name);
            let help = "give each a name of its own: a database knows a run by its plan's name".to_owned();
            conflicts.push(Conflict { plans: all, message, help });
        }
    }
    conflicts
}

/// Conflicts of two plans.
fn pairs(plans: &[&Plan], graph: &Graph) -> Vec<Conflict> {
    let requires = Graph::of(plans);
    let mut conflicts = Vec::new();
    for later in 0..plans.len() {
        for earlier in 0..later {
            let ordered = requires.comes_after(later, earlier) || requires.comes_after(earlier, later);
            if plans[later].name == plans[earlier].name {
                continue;
            }
            if !ordered {
                conflicts.extend(on_one_column(plans, (earlier, later)));
            }
            for (one, other) in [(earlier, later), (later, earlier)] {
                conflicts.extend(missing_column(plans, (one, other), &requires, graph));
            }
        }
    }
    conflicts
}

/// Two plans that take the same column or name for themselves, of which neither waits for the other.
fn on_one_column(plans: &[&Plan], (earlier, later): (usize, usize)) -> Option<Conflict> {
    let (one, other) = (plans[earlier], plans[later]);
    if one.table != other.table {
        return None;
    }
    let claims =
        |plan: &Plan| plan.changes.iter().flat_map(Change::claims).map(|claim| claim.to_string()).collect::<Vec<_>>();
    let theirs = claims(other);
    let mut both: Vec<_> = claims(one).into_iter().filter(|claim| theirs.contains(claim)).collect();
    both.dedup();
    // That the second needs what the first brings has a message of its own.
    let brings =
        |a: &Plan, b: &Plan| needed_columns(b).iter().any(|(table, column)| made_columns(a, table).contains(column));
    if both.is_empty() || brings(one, other) || brings(other, one) {
        return None;
    }
    let message = format!("plans {} and {} both change {} of {}", one.name, other.name, both.join(" and "), one.table);
    let help = format!(
        "let one wait for the other (`requires: {{ plans: [{}] }}` in {}), or make them one plan",
        one.name, other.name
    );
    Some(Conflict { plans: vec![earlier, later], message, help })
}

/// `user` needs a column that `maker` brings and does not wait for it; or one that it takes away, after that.
fn missing_column(plans: &[&Plan], (maker, user): (usize, usize), requires: &Graph, graph: &Graph) -> Vec<Conflict> {
    let (made_by, used_by) = (plans[maker], plans[user]);
    let mut conflicts = Vec::new();
    for (table, column) in needed_columns(used_by) {
        if made_columns(made_by, &table).contains(&column) && !requires.comes_after(user, maker) {
            conflicts.push(Conflict {
                plans: vec![maker, user],
                message: format!(
                    "plan {} needs column {column} of {table}, which plan {} brings",
                    used_by.name, made_by.name
                ),
                help: format!("add `requires: {{ plans: [{}] }}` to {}", made_by.name, used_by.name),
            });
        }
        let taken = taken_columns(made_by, &table).contains(&column);
        let before =
            requires.comes_after(user, maker) || (used_by.table != made_by.table && graph.comes_after(user, maker));
        if taken && before {
            conflicts.push(Conflict {
                plans: vec![maker, user],
                message: format!(
                    "plan {} needs column {column} of {table}, which is gone when plan {} is done",
                    used_by.name, made_by.name
                ),
                help: format!(
                    "use the name that the column has then, or let {} wait for {}",
                    made_by.name, used_by.name
                ),
            });
        }
    }
    conflicts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(name: &str, table: &str, change: &str, requires: &str) -> Plan {
        let text = format!(
            "version: 1\nname: {name}\ntable: {table}\nchanges: [{{ {change} }}]\nrequires: {{ {requires} }}\n"
        );
        super::super::parse("p", &text).unwrap_or_else(|error| panic!("{}", error.render(false)))
    }

    fn rename(from: &str, to: &str) -> String {
        format!("rename_column: {{ from: {from}, to: {to} }}")
    }

    fn ordered(plans: &[Plan]) -> Order {
        order(&plans.iter().collect::<Vec<_>>())
    }

    fn said(plans: &[Plan]) -> Vec<String> {
        ordered(plans).conflicts.into_iter().map(|conflict| conflict.message).collect()
    }

    #[test]
    fn a_plan_comes_after_what_it_requires_and_after_those_before_it_on_its_table() {
        let plans = [
            plan("a", "t", &rename("a", "b"), "plans: [c]"),
            plan("b", "t", &rename("x", "y"), ""),
            plan("c", "u", &rename("a", "b"), ""),
            plan("d", "v", &rename("a", "b"), "plans: [elsewhere]"),
        ];
        let found = ordered(&plans);
        assert_eq!(found.order, [2, 0, 1, 3]);
        assert_eq!(found.after, [vec![2], vec![0], vec![], vec![]]);
        assert_eq!((found.circles.len(), found.conflicts.len()), (0, 0));
    }

    #[test]
    fn a_circle_is_shown_and_the_rest_is_ordered() {
        let plans = [
            plan("a", "t", &rename("a", "b"), "plans: [b]"),
            plan("b", "u", &rename("a", "b"), "plans: [c]"),
            plan("c", "v", &rename("a", "b"), "plans: [a]"),
            plan("d", "w", &rename("a", "b"), "plans: [a]"),
            plan("e", "x", &rename("a", "b"), ""),
        ];
        let found = ordered(&plans);
        assert_eq!(found.circles, [vec![0, 1, 2]]);
        assert_eq!(found.order, [4, 0, 1, 2, 3]);
    }

    #[test]
    fn plans_that_do_not_go_together_are_named() {
        let (one, other) = (plan("one", "t", &rename("a", "b"), ""), plan("two", "t", &rename("a", "c"), ""));
        assert_eq!(said(&[one.clone(), other]), ["plans one and two both change column a of public.t"]);
        // One after the other they may.
        let later = plan("two", "t", "change_type: { column: b, to: bigint }", "plans: [one]");
        assert_eq!(said(&[one.clone(), later]), [] as [&str; 0]);
        let unordered = plan("two", "t", "change_type: { column: b, to: bigint }", "");
        assert_eq!(said(&[one.clone(), unordered]), ["plan two needs column b of public.t, which plan one brings"]);
        let elsewhere = plan("two", "u", &rename("x", "y"), "columns: [{ table: t, column: b }]");
        assert_eq!(said(&[elsewhere, one.clone()]), ["plan two needs column b of public.t, which plan one brings"]);
        let gone = plan("two", "u", &rename("x", "y"), "plans: [one], columns: [{ table: t, column: a }]");
        assert_eq!(
            said(&[one.clone(), gone]),
            ["plan two needs column a of public.t, which is gone when plan one is done"]
        );
        assert_eq!(said(&[one.clone(), one.clone(), one.clone()]), ["3 plans are called one"]);
        let index = plan("two", "t", "add_index: { name: i, columns: [b] }", "");
        assert_eq!(said(&[one, index]), ["plan two needs column b of public.t, which plan one brings"]);
    }

    proptest! {
        /// Whatever plans require of those with a higher number, there is an order, and it keeps to all of it.
        #[test]
        fn any_plans_without_a_circle_have_an_order(
            edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..30),
            tables in proptest::collection::vec(0_u8..4, 12),
            shuffle in Just((0_usize..12).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut plans: Vec<_> = (0..12).map(|number| {
                let below: BTreeSet<_> = edges.iter().filter(|(of, to)| *of == number && to < of).map(|(_, to)| format!("p{to}")).collect();
                let requires = format!("plans: [{}]", below.into_iter().collect::<Vec<_>>().join(", "));
                plan(&format!("p{number}"), &format!("t{}", tables[number]), &rename(&format!("a{number}"), &format!("b{number}")), &requires)
            }).collect();
            plans = shuffle.iter().map(|place| plans[*place].clone()).collect();
            let found = ordered(&plans);
            prop_assert_eq!(found.circles.len(), 0);
            prop_assert_eq!(found.conflicts.len(), 0);
            prop_assert_eq!(found.order.iter().collect::<BTreeSet<_>>().len(), plans.len());
            let at = |place: usize| found.order.iter().position(|other| *other == place).unwrap();
            for (place, plan) in plans.iter().enumerate() {
                for required in &plan.requires.plans {
                    let other = plans.iter().position(|plan| plan.name == *required).unwrap();
                    prop_assert!(at(other) < at(place), "{} before {}", required, plan.name);
                }
                for other in 0..place {
                    let graph = Graph::of(&plans.iter().collect::<Vec<_>>());
                    if plans[other].table == plan.table && !graph.comes_after(other, place) {
                        // Another plan between them may turn them round, but never without a reason.
                        let all = Graph { after: found.after.clone() };
                        prop_assert_ne!(all.comes_after(place, other), all.comes_after(other, place));
                    }
                }
            }
        }

        /// Every plan of a circle is behind all that are in none and wait for none.
        #[test]
        fn a_circle_keeps_nobody_else_from_being_ordered(
            edges in proptest::collection::vec((0_usize..8, 0_usize..8), 0..20),
        ) {
            let plans: Vec<_> = (0..8).map(|number| {
                let required: BTreeSet<_> = edges.iter().filter(|(of, to)| *of == number && to != of).map(|(_, to)| format!("p{to}")).collect();
                let requires = format!("plans: [{}]", required.into_iter().collect::<Vec<_>>().join(", "));
                plan(&format!("p{number}"), &format!("t{number}"), &rename("a", "b"), &requires)
            }).collect();
            let found = ordered(&plans);
            let graph = Graph::of(&plans.iter().collect::<Vec<_>>());
            for place in 0..8 {
                let in_circle = graph.comes_after(place, place);
                prop_assert_eq!(found.circles.iter().any(|circle| circle.contains(&place)), in_circle && found.circles.iter().any(|circle| circle.contains(&place)));
                if in_circle {
                    prop_assert!(found.circles.iter().flatten().any(|other| *other == place || (graph.comes_after(*other, place) && graph.comes_after(place, *other))));
                }
            }
            for circle in &found.circles {
                for (at, place) in circle.iter().enumerate() {
                    prop_assert!(graph.after[*place].contains(&circle[(at + 1) % circle.len()]));
                }
            }
        }
    }
}
