//! What the database must offer.

use super::{Code, Validator, last_key};
use crate::ident::{ColumnName, PlanName, TableName};
use crate::plan::file::{DiskFile, ReplicasFile, RequiredColumnFile, RequiresFile, SlotsFile};
use crate::plan::write::PREDICTED;
use crate::plan::{Bytes, Change, Claim, Disk, Extension, ExtensionError, Replicas, RequiredColumn, Requires, Slots};

/// The oldest PostgreSQL supported.
const OLDEST_POSTGRES: u32 = 14;

impl Validator<'_> {
    /// `changes` are those of the plan, which is called `plan` and about `table`.
    pub(super) fn requires(
        &mut self,
        file: Option<&RequiresFile>,
        (plan, table): (Option<&PlanName>, Option<&TableName>),
        changes: &[(String, Change)],
    ) -> Requires {
        let Some(file) = file else { return Requires::default() };
        let postgres = file.postgres.as_deref().and_then(|text| self.postgres_version(text));
        let mut extensions = Vec::new();
        for (index, text) in file.extensions.iter().flatten().enumerate() {
            extensions.extend(self.extension(&format!("/requires/extensions/{index}"), text));
        }
        let names: Vec<_> = extensions.iter().map(|extension| extension.name.clone()).collect();
        self.no_duplicates("/requires/extensions", &names);
        let mut plans = Vec::new();
        for (index, name) in file.plans.iter().flatten().enumerate() {
            let at = format!("/requires/plans/{index}");
            let Some(name) = self.plan_name(&at, Some(name)) else { continue };
            if Some(&name) == plan {
                self.report(Code::RequiresItself, self.places.value(&at), "this plan requires itself", "remove it");
            }
            plans.push(name);
        }
        self.no_duplicates("/requires/plans", file.plans.as_deref().unwrap_or_default());
        let mut tables = Vec::new();
        for (index, text) in file.tables.iter().flatten().enumerate() {
            tables.extend(self.name(&format!("/requires/tables/{index}"), text, TableName::parse));
        }
        self.no_duplicates("/requires/tables", &tables);
        let mut columns = Vec::new();
        for (index, column) in file.columns.iter().flatten().enumerate() {
            columns.extend(self.required_column(&format!("/requires/columns/{index}"), column, (table, changes)));
        }
        Requires {
            postgres,
            extensions,
            plans,
            tables,
            columns,
            disk: file.disk.as_ref().and_then(|disk| self.disk(disk)),
            slots: file.slots.as_ref().and_then(|slots| self.slots(slots)),
            replicas: file.replicas.as_ref().and_then(|replicas| self.replicas(replicas)),
        }
    }

    fn postgres_version(&mut self, text: &str) -> Option<u32> {
        let span = self.places.value("/requires/postgres");
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let Some(version) = text.trim().strip_prefix(">=").and_then(number) else {
            let major = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect::<String>();
            let major = major.split('.').next().and_then(number).unwrap_or(OLDEST_POSTGRES);
            let message = format!("`{text}` is not a minimum major version");
            self.report(Code::BadPostgresVersion, span, message, format!("write `\">={major}\"`"));
            return None;
        };
        if version < OLDEST_POSTGRES {
            let message = format!("crossfade does not support PostgreSQL {version}: it is too old");
            self.report(Code::PostgresTooOld, span, message, format!("write `\">={OLDEST_POSTGRES}\"` or higher"));
            return None;
        }
        Some(version)
    }

    fn extension(&mut self, at: &str, text: &str) -> Option<Extension> {
        let error = match text.parse() {
            Ok(extension) => return Some(extension),
            Err(error) => error,
        };
        match error {
            // The name alone has words of its own for what is wrong with it.
            ExtensionError::Name(_) => {
                let name = text.split(['<', '>', '=']).next().unwrap_or_default().trim();
                self.name(at, name, crate::ident::RelationName::new);
            }
            ExtensionError::Version(_) => {
                let help =
                    "write a name, or a name with one of >=, >, =, < and <= and a version, as in `postgis >= 3.1`";
                self.report(Code::BadExtensionVersion, self.places.value(at), error.to_string(), help);
            }
        }
        None
    }

    /// Whether a column is there that the plan itself changes is checked anyway, and will change.
    fn required_column(
        &mut self,
        at: &str,
        file: &RequiredColumnFile,
        (table, changes): (Option<&TableName>, &[(String, Change)]),
    ) -> Option<RequiredColumn> {
        let required = file.table.as_deref().and_then(|text| self.name(&format!("{at}/table"), text, TableName::parse));
        let name = format!("{at}/column");
        let column = file.column.as_deref().and_then(|text| self.name(&name, text, ColumnName::new));
        self.sql_text(&format!("{at}/type"), "type", file.r#type.as_deref());
        let (required, column) = (required?, column?);
        let of_this = |(_, change): &(String, Change)| {
            let not_index = !matches!(change, Change::AddIndex(_) | Change::AddConstraint(_));
            not_index && change.claims().contains(&Claim::Column(&column))
        };
        if Some(&required) == table && changes.iter().any(of_this) {
            let message = format!("this plan changes column {column} itself");
            self.report(Code::NoEffect, self.places.value(&name), message, "remove it: the changes are checked anyway");
        }
        Some(RequiredColumn { table: required, column, type_name: file.r#type.clone() })
    }

    fn amount(&mut self, at: &str, text: &str) -> Option<Bytes> {
        let (message, help) = match text.parse() {
            Ok(Bytes(0)) => (format!("`{text}` is out of range"), "expected more than zero".to_owned()),
            Ok(bytes) => return Some(bytes),
            Err(error) => (format!("`{text}` is not an amount of data"), error.to_string()),
        };
        let code = if text.parse() == Ok(Bytes(0)) { Code::OutOfRange } else { Code::BadSize };
        self.report(code, self.places.value(at), message, help);
        None
    }

    fn disk(&mut self, file: &DiskFile) -> Option<Disk> {
        self.sql_text("/requires/disk/query", "query", file.query.as_deref());
        let free = match file.free.as_deref()? {
            PREDICTED => None,
            text => Some(self.amount("/requires/disk/free", text)?),
        };
        Some(Disk { free, query: file.query.clone() })
    }

    fn slots(&mut self, file: &SlotsFile) -> Option<Slots> {
        let amount = |this: &mut Self, key: &str, text: &Option<String>| {
            text.as_deref().and_then(|text| this.amount(&format!("/requires/slots/{key}"), text))
        };
        let wal = amount(self, "wal", &file.wal);
        let inactive_wal = amount(self, "inactive_wal", &file.inactive_wal);
        let bounded = file.bounded.unwrap_or(false);
        if file.wal.is_none() && file.inactive_wal.is_none() && !bounded {
            return self.asks_nothing("/requires/slots", "`wal`, `inactive_wal` or `bounded: true`");
        }
        Some(Slots { wal, inactive_wal, bounded })
    }

    fn replicas(&mut self, file: &ReplicasFile) -> Option<Replicas> {
        let behind = file.behind.as_deref().and_then(|text| self.amount("/requires/replicas/behind", text));
        if file.count.is_none() && file.behind.is_none() {
            return self.asks_nothing("/requires/replicas", "`count` or `behind`");
        }
        Some(Replicas { count: file.count, behind })
    }

    fn asks_nothing<T>(&mut self, at: &str, keys: &str) -> Option<T> {
        let message = format!("`{}` requires nothing", last_key(at));
        self.report(Code::EmptyValue, self.places.key(at), message, format!("add {keys}, or remove it"));
        None
    }
}
