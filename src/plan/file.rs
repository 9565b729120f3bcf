//! What was typed, and the form it must have. Every key is optional in these types: the form says which must be given, and
//! [`super::validate`] turns the whole into a [`super::Plan`]. The sections that hold settings are not here but in
//! [`super::settings`].
//!
//! The comments on the keys are the descriptions that editors show.

use super::form::{Form, Formed, Key, Map, typed};
use super::settings::{SECTIONS, SETTINGS};
use super::{
    BuildIndexes, CopyIndexes, Day, Deferrable, OnConflict, OnError, Publications, ReferentialAction, Referring, Shape,
    Topic, Word,
};
use crate::phase::Phase;

/// The key of the format's number.
pub(super) const VERSION: &str = "version";

/// Returns the form of a whole plan.
pub(super) fn form() -> Form {
    let mut form = PlanFile::form();
    if let Form::Map(map) = &mut form {
        map.keys.insert(0, Key::new(VERSION, Form::Version, "The version of this format.").required());
        let at = map.keys.iter().position(|key| key.name == "indexes").map_or(0, |at| at + 1);
        map.keys.splice(at..at, sections(""));
    }
    form
}

/// Returns the maps of settings that stand right in the section `of`.
fn sections(of: &str) -> Vec<Key> {
    let inside = SECTIONS.iter().filter(|(section, _)| section.rsplit_once('.').map_or("", |(of, _)| of) == of);
    let key = |&(section, about): &(&'static str, &str)| {
        let settings = SETTINGS.iter().filter(|setting| setting.in_plan() && setting.section() == section);
        let mut keys: Vec<_> = settings.map(setting).collect();
        keys.extend(sections(section));
        let name = section.rsplit('.').next().unwrap_or(section);
        Key::new(name, Form::Map(Map { keys, one: false }), about)
    };
    inside.map(key).collect()
}

fn setting(setting: &'static super::settings::Setting) -> Key {
    let key = Key::new(setting.key(), Form::Setting(setting), setting.about);
    let key = if setting.required() { key.required() } else { key };
    let key = if setting.example.is_empty() { key } else { key.example(setting.example) };
    if setting.default.is_empty() { key } else { key.default(setting.default) }
}

typed! {
    /// A plan for crossfade: changes of one table that are made while the table is in use.
    struct PlanFile {
        /// The plan's name, unique in a database: lower-case letters, digits, `-` and `_`.
        name: String [required, example("vehicle-status")],
        /// The table: `schema.table`, or `table` in schema `public`. Written as the catalog spells it, upper case included.
        table: String [required, example("public.vehicles")],
        /// The changes, made together in one pass over the table.
        changes: Vec<ChangeFile> [required, not_empty],
        /// Which indexes are built, and when.
        indexes: IndexesFile,
        /// When each phase may be done. `crossfade run` does not wait for it.
        schedule: ScheduleFile,
        /// Phases that wait until a person has approved them: `crossfade approve`.
        approve: Vec<Phase>,
        /// What the database must offer.
        requires: RequiresFile,
        /// Who is told what happens: docs/notifications.md.
        notify: Vec<NotifyFile>,
        /// Programs that are run before and after phases: docs/hooks.md.
        hooks: Vec<HookFile>,
        /// How subscribers of the table get through, if it is in a publication that publishes all of its columns.
        publications: Publications,
        /// PL/pgSQL functions that get another body in the transaction that takes the old name away; a rollback puts the old one back.
        functions: Vec<FunctionFile>,
        /// Triggers of the table that get other arguments in the same transaction; a rollback gives them their own back.
        triggers: Vec<TriggerFile>,
        /// What becomes of integer columns of any table that refer, by a foreign key, to an integer column which gets a wider type: docs/widen-a-key.md.
        referring: ReferringFile [default("leave")],
    }

    /// As `change`, but for some of the columns.
    struct ChangedFile {
        /// Columns that keep their types, and cannot refer to a value that these do not hold.
        leave: Vec<LeftFile> [required, not_empty],
    }

    /// A column that refers to the key and keeps its type.
    struct LeftFile {
        /// Its table.
        table: String [required, example("public.notes")],
        /// The column.
        column: String [required, example("order_id")],
    }

    /// One change: exactly one of these keys.
    struct ChangeFile [one] {
        /// Gives a column another name.
        rename_column: RenameFile,
        /// Gives a column another type.
        change_type: RetypeFile,
        /// Adds a column.
        add_column: AddColumnFile,
        /// Drops a column.
        drop_column: DropColumnFile,
        /// Adds an index.
        add_index: NewIndexFile,
        /// Drops an index.
        drop_index: DropIndexFile,
        /// Adds a constraint: a name, and exactly one of `check`, `foreign_key`, `unique` and `not_null`.
        add_constraint: AddConstraintFile,
    }

    /// Gives a column another name. Until `contract`, the column can be read and written under both.
    struct RenameFile {
        /// The column's name now.
        from: String [required],
        /// The column's new name.
        to: String [required],
        /// Which side wins when a statement sets both to different values.
        on_conflict: OnConflict [default("new_wins")],
        /// Says that the new column is there already, made by hand, and is to be taken over.
        adopt: AdoptFile,
    }

    /// How a new column is taken over that somebody has made by hand. Nothing of it is dropped by a rollback.
    struct AdoptFile {
        /// Triggers made by hand that kept the columns equal. crossfade's takes their place in one transaction: they are disabled
        /// while the run lasts, enabled again by a rollback, and dropped at the end. Their functions stay.
        replaces: Vec<String> [not_empty, example("[copy_status]")],
        /// Triggers whose functions name the new column for another purpose. They stay as they are.
        keeps: Vec<String> [not_empty, example("[audit]")],
        /// Whether the backfill overwrites values of the new column that are not what the old column converts to. Without it
        /// such rows stop the run at `verify`, which lists them.
        overwrite: bool [default("false")],
    }

    /// Gives a column another type. Until `contract`, the column exists in both types.
    struct RetypeFile {
        /// The column.
        column: String [required],
        /// The new type, as in SQL.
        to: String [required, example("varchar(10)")],
        /// The new value as an SQL expression over the column's name. It must be immutable. Without it, a plain cast.
        using: String [example("substring(license_plate, 1, 10)")],
        /// The old value as an SQL expression over the new column's name (`via`). It must be immutable. Without it there
        /// is no way back once `switch` is done.
        reverse: String,
        /// The column's default under its new type, an SQL expression: it takes the old default's place when the old column
        /// is no longer the one that applications write. Without it, the old default is carried over, as by ALTER TABLE.
        default: String [example("'diesel'")],
        /// The new column's name until `switch` swaps the names; with `keep_name: false`, its name for good.
        via: String,
        /// Whether the new column ends up with the old column's name.
        keep_name: bool [default("true")],
        /// Which side wins when a statement sets both to values that do not agree.
        on_conflict: OnConflict [default("new_wins")],
        /// What a value that will not convert does to the application's write. Without it such a value is left empty, and
        /// rows that already do not convert are refused before anything changes.
        on_error: OnError,
        /// Says that the new column (`via`) is there already, made by hand, and is to be taken over.
        adopt: AdoptFile,
    }

    /// Adds a column.
    struct AddColumnFile {
        /// The column's name.
        name: String [required, example("region")],
        /// Its type, as in SQL.
        r#type: String [required, example("text")],
        /// Its default, an SQL expression. Rows that exist get it too.
        default: String [example("'eu'")],
        /// Whether it is NOT NULL.
        not_null: bool [default("false")],
    }

    /// Drops a column.
    struct DropColumnFile {
        /// The column.
        column: String [required, example("legacy_code")],
    }

    /// Adds an index.
    struct NewIndexFile {
        /// The index's name.
        name: String [required, example("vehicles_region_idx")],
        /// Its columns, under the names they have when the run is done. Either these or `on`.
        columns: Vec<String> [not_empty],
        /// What stands between the parentheses of CREATE INDEX, as in SQL. Either this or `columns`.
        on: String [example("lower(email), created_at DESC")],
        /// Whether it is unique.
        unique: bool [default("false")],
        /// The access method.
        using: String [default("btree"), example("gin")],
        /// Columns that it holds beside its key.
        include: Vec<String> [not_empty],
        /// Which rows it holds, an SQL expression. Without it, all of them.
        r#where: String [example("region IS NOT NULL")],
    }

    /// Drops an index.
    struct DropIndexFile {
        /// The index's name.
        name: String [required, example("vehicles_legacy_idx")],
    }

    /// Adds a constraint.
    struct AddConstraintFile {
        /// The constraint's name. Only `not_null` can do without.
        name: String [example("vehicles_price_check")],
        /// An SQL expression that is true, or NULL, of every row.
        check: String [example("price >= 0")],
        /// The columns' values stand in another table.
        foreign_key: ForeignKeyFile,
        /// No two rows have the same values in these columns.
        unique: Vec<String> [not_empty],
        /// The column that is not NULL.
        not_null: String [example("vin")],
        /// Whether NULLs count as equal (PostgreSQL 15 and later). Only with `unique`.
        nulls_not_distinct: bool [default("false")],
        /// When it is checked. Only with `unique`; a foreign key has a key of its own for it.
        deferrable: Deferrable [default("not_deferrable")],
    }

    /// A foreign key.
    struct ForeignKeyFile {
        /// The columns of this plan's table.
        columns: Vec<String> [required, not_empty],
        /// The table that they refer to.
        references: String [required, example("public.regions")],
        /// Its columns. Without them, those of its primary key.
        referenced_columns: Vec<String> [not_empty],
        /// What happens when a referenced row is deleted.
        on_delete: ReferentialAction [default("no_action")],
        /// What happens when a referenced key changes.
        on_update: ReferentialAction [default("no_action")],
        /// Whether a key of which a part is NULL passes (`simple`) or fails unless all of it is (`full`).
        r#match: Match [default("simple")],
        /// When it is checked.
        deferrable: Deferrable [default("not_deferrable")],
    }

    /// Which indexes are built, and when.
    struct IndexesFile {
        /// When indexes are built. Unique ones always come late, in `verify`.
        build: BuildIndexes [default("before_backfill")],
        /// Whether every index that mentions an old column gets a twin on the new one, or a mirror: all, none, or a list of names.
        copy: CopiedFile [default("all")],
        /// Further indexes.
        add: Vec<AddIndexFile>,
        /// For how long a type change may lock the table against reads and writes, to build the twin of an exclusion constraint: PostgreSQL has no
        /// other way. A build that takes longer is given up and leaves nothing behind. Without it, such a change is refused.
        exclusion_lock: String [example("1min")],
    }

    /// An index to build besides the twins: a plain btree.
    struct AddIndexFile {
        /// The index's name.
        name: String [required],
        /// Its columns, under the names they have when the run is done.
        columns: Vec<String> [required, not_empty],
        /// Whether it is unique.
        unique: bool [default("false")],
    }

    /// When each phase may run.
    struct ScheduleFile {
        /// The time zone of the dates and times below.
        timezone: String [required, example("America/New_York")],
        /// The first day of week 1.
        start: String [required, example("2027-01-05")],
        /// The days and hours in which work may be done. Without it, always.
        window: WindowFile,
        /// Windows that open once, beside the one above.
        extra: Vec<ExtraWindowFile>,
        /// The week, from 1, in which a phase becomes due. A phase not named is due with the one before.
        weekly: WeeklyFile,
        /// The day before which a phase is not due, whatever its week.
        not_before: NotBeforeFile,
        /// How long a phase lasts at least before the next is due, counted from when it was done.
        soak: SoakFile,
        /// Days on which nothing starts.
        freeze: Vec<FreezeFile>,
    }

    /// The days and hours in which work may be done.
    struct WindowFile {
        /// The days on which a window opens.
        days: Vec<Day> [required, not_empty],
        /// From this time of day.
        from: String [required, example("02:00")],
        /// Until this time of day; when it is before `from`, on the next day.
        to: String [required, example("05:00")],
    }

    /// The week, from 1, in which each phase becomes due.
    struct WeeklyFile {
        /// The week in which `expand` becomes due.
        expand: u16 [between(1, 520)],
        /// The week in which `index` becomes due.
        index: u16 [between(1, 520)],
        /// The week in which `backfill` becomes due.
        backfill: u16 [between(1, 520)],
        /// The week in which `verify` becomes due.
        verify: u16 [between(1, 520)],
        /// The week in which `switch` becomes due.
        switch: u16 [between(1, 520)],
        /// The week in which `contract` becomes due.
        contract: u16 [between(1, 520)],
    }

    /// A window that opens once.
    struct ExtraWindowFile {
        /// From this local time.
        from: String [required, example("2027-02-06 22:00")],
        /// Until this local time.
        to: String [required, example("2027-02-07 06:00")],
        /// The reason, for reports.
        why: String [required, example("maintenance night")],
    }

    /// The day before which a phase is not due.
    struct NotBeforeFile {
        /// The first day on which `expand` may be due.
        expand: String [example("2027-02-01")],
        /// The first day on which `index` may be due.
        index: String [example("2027-02-01")],
        /// The first day on which `backfill` may be due.
        backfill: String [example("2027-02-01")],
        /// The first day on which `verify` may be due.
        verify: String [example("2027-02-01")],
        /// The first day on which `switch` may be due.
        switch: String [example("2027-02-01")],
        /// The first day on which `contract` may be due.
        contract: String [example("2027-02-01")],
    }

    /// How long a phase lasts at least before the next is due.
    struct SoakFile {
        /// The time from the end of `expand` to the next phase.
        expand: String [example("7d")],
        /// The time from the end of `index` to the next phase.
        index: String [example("7d")],
        /// The time from the end of `backfill` to the next phase.
        backfill: String [example("7d")],
        /// The time from the end of `verify` to the next phase.
        verify: String [example("7d")],
        /// The time from the end of `switch` to the next phase.
        switch: String [example("7d")],
    }

    /// Days on which nothing starts.
    struct FreezeFile {
        /// The first day.
        from: String [required, example("2027-01-18")],
        /// The last day, included.
        to: String [required, example("2027-01-20")],
        /// The reason, for reports.
        why: String [required, example("release freeze")],
    }

    /// What the database must offer.
    struct RequiresFile {
        /// The lowest PostgreSQL major version.
        postgres: String [example(">=14")],
        /// Extensions that must be installed, each by its name, with a version if need be: `postgis >= 3.1`.
        extensions: Vec<String>,
        /// Plans whose runs must be done.
        plans: Vec<String>,
        /// Tables that must be there.
        tables: Vec<String>,
        /// Columns that must be there.
        columns: Vec<RequiredColumnFile>,
        /// Disk space that must be free.
        disk: DiskFile,
        /// How far behind the readers of replication slots may be.
        slots: SlotsFile,
        /// Replicas that must have caught up.
        replicas: ReplicasFile,
    }

    /// A column that must be there.
    struct RequiredColumnFile {
        /// The table.
        table: String [required, example("public.regions")],
        /// The column.
        column: String [required, example("code")],
        /// Its type, as in SQL; without a modifier such as `(10)`, of any. Without this key, any type.
        r#type: String [example("text")],
    }

    /// Disk space that must be free.
    struct DiskFile {
        /// How much: an amount, or `predicted` for what the table and its indexes are predicted to grow by.
        free: String [required, example("20GB")],
        /// A SELECT that returns the free bytes of the server. Without it, crossfade looks at the data directory, which it
        /// can only do on the server's own host and where it may read that directory.
        query: String [example("SELECT free_bytes FROM monitoring.disk")],
    }

    /// How far behind the readers of replication slots may be.
    struct SlotsFile {
        /// The most WAL that any slot keeps; besides, no slot has more than 80 % of `max_slot_wal_keep_size`.
        wal: String [example("10GB")],
        /// The most WAL that a slot keeps whose reader is not connected.
        inactive_wal: String [example("1GB")],
        /// Whether the server must bound what a slot keeps (`max_slot_wal_keep_size`).
        bounded: bool [default("false")],
    }

    /// Replicas that must have caught up.
    struct ReplicasFile {
        /// How many must be streaming at least.
        count: u16 [between(1, 1000)],
        /// The most WAL that any of them has not replayed yet.
        behind: String [example("64MB")],
    }

    /// Somebody who is told what happens.
    struct NotifyFile {
        /// A name. Hosts that run crossfade have the address in `CROSSFADE_NOTIFY_<NAME>_URL`, and for `standard` a secret in
        /// `CROSSFADE_NOTIFY_<NAME>_SECRET`.
        to: String [required, example("ops")],
        /// What a message looks like.
        shape: Shape [default("standard")],
        /// What is told. Without it, everything.
        on: Vec<Topic> [not_empty],
    }

    /// A PL/pgSQL function that gets another body. Its owner, arguments, options and grants stay.
    struct FunctionFile {
        /// The function with its schema and the types of its arguments.
        name: String [required, example("public.note_change()")],
        /// What stands between the quotes behind AS, under the names that columns have when the run is done.
        body: String [required],
    }

    /// A trigger of the table that gets other arguments. Everything else of it stays.
    struct TriggerFile {
        /// The trigger.
        name: String [required, example("search_words")],
        /// What it gives its function, under the names that columns have when the run is done.
        arguments: Vec<String> [required, example("[words, pg_catalog.english, headline]")],
    }

    /// A program that is run before or after a phase.
    struct HookFile {
        /// The phase before which it is run; the phase only begins if the program ends well. Either this or `after`.
        before: Phase,
        /// The phase after which it is run. Either this or `before`.
        after: Phase,
        /// The name of the executable, in the directory that `--hooks` names.
        run: String [required, example("check-dashboards")],
        /// How long it may take, at most 1h.
        timeout: String [default("1m")],
    }
}

/// What of a key counts when a part of it is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Match {
    Simple,
    Full,
}

impl Formed for Match {
    fn form() -> Form {
        let simple = Word { word: "simple", about: "A key of which a part is NULL passes." };
        let full = Word { word: "full", about: "A key of which a part is NULL fails, unless all of it is." };
        Form::Words(vec![simple, full])
    }
}

impl WeeklyFile {
    pub(super) fn week(&self, phase: Phase) -> Option<u16> {
        match phase {
            Phase::Expand => self.expand,
            Phase::Index => self.index,
            Phase::Backfill => self.backfill,
            Phase::Verify => self.verify,
            Phase::Switch => self.switch,
            Phase::Contract => self.contract,
        }
    }
}

impl NotBeforeFile {
    pub(super) fn date(&self, phase: Phase) -> Option<&str> {
        match phase {
            Phase::Expand => self.expand.as_deref(),
            Phase::Index => self.index.as_deref(),
            Phase::Backfill => self.backfill.as_deref(),
            Phase::Verify => self.verify.as_deref(),
            Phase::Switch => self.switch.as_deref(),
            Phase::Contract => self.contract.as_deref(),
        }
    }
}

impl SoakFile {
    pub(super) fn time(&self, phase: Phase) -> Option<&str> {
        match phase {
            Phase::Expand => self.expand.as_deref(),
            Phase::Index => self.index.as_deref(),
            Phase::Backfill => self.backfill.as_deref(),
            Phase::Verify => self.verify.as_deref(),
            Phase::Switch => self.switch.as_deref(),
            // Nothing comes after it.
            Phase::Contract => None,
        }
    }
}

impl Formed for Phase {
    fn form() -> Form {
        let about = |phase| match phase {
            Self::Expand => "Adds the new column and the sync trigger.",
            Self::Index => "Builds the new column's indexes concurrently.",
            Self::Backfill => "Fills the rows that existed before the trigger.",
            Self::Verify => "Compares all rows and proves the constraints.",
            Self::Switch => "Applications move to the new column.",
            Self::Contract => "Takes the old name away, waits, and drops what was retired.",
        };
        Form::Words(Self::ALL.map(|phase| Word { word: phase.as_str(), about: about(phase) }).to_vec())
    }
}

/// The names of `indexes.copy`: none are written `none`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct CopiedFile(pub(super) Vec<String>);

impl Formed for CopiedFile {
    fn form() -> Form {
        Form::WordOrNames(CopyIndexes::WORDS.to_vec())
    }
}

/// What stands under `referring`.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum ReferringFile {
    Word(Referring),
    Changed(ChangedFile),
}

impl Formed for ReferringFile {
    fn form() -> Form {
        let Form::Map(map) = ChangedFile::form() else { return Form::Words(Referring::WORDS.to_vec()) };
        Form::WordOrMap(Referring::WORDS.to_vec(), map)
    }
}

macro_rules! formed_as_words {
    ($($type:ty),+) => {
        $(impl Formed for $type {
            fn form() -> Form {
                Form::Words(Self::WORDS.to_vec())
            }
        })+
    };
}

formed_as_words!(OnConflict, OnError, BuildIndexes, Day, Deferrable, Publications, ReferentialAction, Shape, Topic);
