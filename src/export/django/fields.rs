//! Which field of Django a type of PostgreSQL is.

use super::super::NoExport;
use super::super::python::elements;
use super::models::Field;

/// Types as `format_type` writes them, and the classes that have them.
const CLASSES: [(&str, &str); 15] = [
    ("bigint", "BigIntegerField"),
    ("boolean", "BooleanField"),
    ("bytea", "BinaryField"),
    ("character varying", "CharField"),
    ("date", "DateField"),
    ("double precision", "FloatField"),
    ("inet", "GenericIPAddressField"),
    ("integer", "IntegerField"),
    ("interval", "DurationField"),
    ("jsonb", "JSONField"),
    ("smallint", "SmallIntegerField"),
    ("text", "TextField"),
    ("time without time zone", "TimeField"),
    ("timestamp with time zone", "DateTimeField"),
    ("uuid", "UUIDField"),
];

/// What a field keeps when its type changes. What depends on the type (default, choices, validators) stands in the model.
const KEPT: [&str; 9] =
    ["blank", "db_column", "db_comment", "db_index", "editable", "help_text", "primary_key", "unique", "verbose_name"];

/// Returns a field of this type as code. `was` is the field that had another type until now.
///
/// # Errors
/// No class of Django has the type, or the field is one whose type follows another's.
pub(super) fn field(type_name: &str, not_null: bool, was: Option<&Field>) -> Result<String, NoExport> {
    let no_field = |why: &str| {
        NoExport::new(
            format!("cannot export the type {type_name} to Django: {why}"),
            "write the migration by hand: its database operation can be that of `crossfade export --to sqlx`",
        )
    };
    if was.is_some_and(Field::refers) {
        return Err(no_field("the type of a ForeignKey is that of the key it refers to"));
    }
    if was.is_some_and(|field| field.code.contains("AutoField(")) {
        return Err(no_field("the field makes its own values, so its class belongs to the model"));
    }
    let (base, modifier) = match type_name.split_once('(') {
        Some((base, rest)) => (base, rest.strip_suffix(')').ok_or_else(|| no_field("it has no class there"))?),
        None => (type_name, ""),
    };
    let numbers: Vec<&str> = modifier.split(',').filter(|number| !number.is_empty()).collect();
    let (class, mut arguments) = match (base, numbers.as_slice()) {
        ("numeric", [digits, places]) => {
            ("DecimalField", vec![format!("max_digits={digits}"), format!("decimal_places={places}")])
        }
        ("numeric", [digits]) => ("DecimalField", vec![format!("max_digits={digits}"), "decimal_places=0".to_owned()]),
        ("character varying", [length]) => ("CharField", vec![format!("max_length={length}")]),
        (base, []) => {
            let class = CLASSES.iter().find(|(name, _)| *name == base);
            (class.ok_or_else(|| no_field("it has no class there"))?.1, vec![])
        }
        _ => return Err(no_field("it has no class there")),
    };
    if !not_null {
        arguments.push("null=True".to_owned());
    }
    let own = was.map(|field| elements(field.arguments())).unwrap_or_default();
    let is_kept = |argument: &&&str| argument.split_once('=').is_some_and(|(key, _)| KEPT.contains(&key.trim()));
    arguments.extend(own.iter().filter(is_kept).map(|argument| (*argument).to_owned()));
    let text = |code: &str| code.contains("CharField(") || code.contains("TextField(");
    let same_sort = was.is_some_and(|field| text(&field.code)) && matches!(class, "CharField" | "TextField");
    if same_sort {
        let is_text = |argument: &&&str| argument.starts_with("default=") || argument.starts_with("choices=");
        arguments.extend(own.iter().filter(is_text).map(|argument| (*argument).to_owned()));
    }
    Ok(format!("models.{class}({})", arguments.join(", ")))
}
