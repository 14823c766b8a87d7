//! The parameters of a sink, carried over by their names, and no secret among them.
//!
//! What looks like a secret becomes `{ env = "NAME" }`: by its key, as a header, in the user part or the query of a URL.
//! Keys are judged with suspicion: one too many costs the reader a look into the export, one too few would leak.

use serde_json::{Map, Value};

/// Values deeper than this are left out.
const DEPTH_MAX: usize = 16;

/// Whose parameters they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of the connection, where `key` is one to a door.
    Connection,
    /// Of what is done with a row, where `key` is one of a record.
    Action,
}

/// Carries parameters over into the table of a sink.
#[derive(Debug)]
pub struct Carrier<'a> {
    /// The name of the sink, for the names of variables.
    pub sink: &'a str,
    /// What has been carried over.
    pub table: toml::Table,
    /// Whether there was a file, whose contents stay in the export.
    pub has_files: bool,
}

impl<'a> Carrier<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(sink: &'a str) -> Self {
        Self { sink, table: toml::Table::new(), has_files: false }
    }

    /// Carries these over, without those whose keys are in `without`.
    pub fn carry(&mut self, parameters: &Map<String, Value>, of: Of, without: &[&str]) {
        for (key, value) in parameters {
            if without.contains(&key.as_str()) {
                continue;
            }
            if let Some(value) = self.value(&[key], value, of, false) {
                // Of a connection and an action with the same key both stay.
                let key = if self.table.contains_key(key) { format!("action_{key}") } else { key.clone() };
                self.table.insert(key, value);
            }
        }
    }

    fn value(&mut self, path: &[&str], value: &Value, of: Of, is_secret: bool) -> Option<toml::Value> {
        let key = path.last().copied().unwrap_or_default();
        let is_secret = is_secret || is_secret_key(key, of) || (is_in_headers(path) && is_secret_header(key, value));
        if path.len() > DEPTH_MAX {
            return None;
        }
        match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() && (of == Of::Connection || is_secret) => None,
            Value::String(text) if text.starts_with("-----BEGIN") => {
                Some(self.file(&format!("{}.pem", path.join("_"))))
            }
            Value::String(text) if is_secret => {
                Some(text.strip_prefix("file://").map_or_else(|| self.env(path), |path| inline("file", path)))
            }
            Value::Bool(value) => Some((*value).into()),
            Value::Number(_) if is_secret => Some(self.env(path)),
            Value::Number(number) => Some(match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => whole.into(),
                (None, Some(float)) => float.into(),
                (None, None) => number.to_string().into(),
            }),
            Value::String(text) => Some(without_credentials(text, of).into()),
            Value::Array(items) => {
                Some(items.iter().filter_map(|item| self.value(path, item, of, is_secret)).collect::<Vec<_>>().into())
            }
            Value::Object(object) => self.object(path, object, of, is_secret),
        }
    }

    fn object(&mut self, path: &[&str], object: &Map<String, Value>, of: Of, is_secret: bool) -> Option<toml::Value> {
        // A file as 4.x exports it.
        if let (Some(name), Some(contents), 2) = (object.get("filename"), object.get("file"), object.len()) {
            let name = name.as_str().filter(|name| !name.is_empty()).unwrap_or(path.last().copied().unwrap_or("file"));
            let is_empty = contents.as_str().is_none_or(str::is_empty);
            return (!is_empty).then(|| self.file(name));
        }
        // A pair, where the key is a value.
        let named = ["key", "k", "name", "kafka_ext_header_key"].iter().find_map(|name| object.get(*name)?.as_str());
        let hides = named.is_some_and(|name| is_secret_key(name, Of::Action));
        let mut table = toml::Table::new();
        for (key, value) in object {
            let hides = is_secret || (hides && matches!(key.as_str(), "value" | "v" | "kafka_ext_header_value"));
            let inner: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            if let Some(value) = self.value(&inner, value, of, hides) {
                table.insert(key.clone(), value);
            }
        }
        (!table.is_empty()).then(|| table.into())
    }

    fn env(&self, path: &[&str]) -> toml::Value {
        let name: String = std::iter::once(self.sink)
            .chain(path.iter().copied())
            .collect::<Vec<_>>()
            .join("_")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        inline("env", &name)
    }

    fn file(&mut self, name: &str) -> toml::Value {
        self.has_files = true;
        inline("file", name)
    }
}

fn inline(key: &str, value: &str) -> toml::Value {
    toml::Table::from_iter([(key.to_owned(), value.into())]).into()
}

fn is_secret_key(key: &str, of: Of) -> bool {
    const PARTS: &[&str] = &[
        "pass",
        "pwd",
        "secret",
        "token",
        "cred",
        "jwt",
        "private",
        "psk",
        "cookie",
        "apikey",
        "api_key",
        "access_key",
        "authorization",
        "keytab",
        "keyfile",
        "service_account",
        "signature",
        "connection_string",
        "dsn",
    ];
    const RECORD_KEYS: &[&str] = &[
        "partition_key",
        "partitioning_key",
        "routing_key",
        "hash_key",
        "range_key",
        "message_key",
        "ordering_key",
        "primary_key",
        "kafka_ext_header_key",
    ];
    let key = key.to_ascii_lowercase().replace('-', "_");
    PARTS.iter().any(|part| key.contains(part))
        || (key.ends_with("_key") && !RECORD_KEYS.contains(&key.as_str()))
        || (key == "key" && of == Of::Connection)
}

fn is_in_headers(path: &[&str]) -> bool {
    path.len() > 1 && path[path.len() - 2].eq_ignore_ascii_case("headers")
}

/// A header is a secret unless it is one of those that never are, or made of the row.
fn is_secret_header(name: &str, value: &Value) -> bool {
    const PLAIN: &[&str] = &[
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-type",
        "host",
        "keep-alive",
        "user-agent",
    ];
    let is_template = value.as_str().is_some_and(|value| value.starts_with("${") && value.ends_with('}'));
    !PLAIN.contains(&name.to_ascii_lowercase().as_str()) && !is_template
}

/// The text, and in each URL of it neither a user part nor the values of secret arguments.
fn without_credentials(text: &str, of: Of) -> String {
    if text.starts_with('/') {
        return without_arguments(text, of);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find([',', ' ', '\n', '"', '\'']).unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        // A password may hold an `@`, or a slash that should have been escaped.
        let user = url[..authority].rfind('@').or_else(|| url.rfind('@').filter(|user| url[..*user].contains(':')));
        out.push_str(&without_arguments(user.map_or(url, |user| &url[user + 1..]), of));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn without_arguments(url: &str, of: Of) -> String {
    match url.split_once('?') {
        Some((path, query)) => {
            let arguments: Vec<String> = query.split('&').map(|argument| without_secret(argument, of)).collect();
            format!("{path}?{}", arguments.join("&"))
        }
        None => url.to_owned(),
    }
}

fn without_secret(argument: &str, of: Of) -> String {
    match argument.split_once('=') {
        Some((key, _)) if key == "key" || key == "sig" || is_secret_key(key, of) => format!("{key}=***"),
        _ => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn carried(parameters: &Value, of: Of) -> String {
        let mut carrier = Carrier::new("kafka_1");
        carrier.carry(parameters.as_object().expect("an object"), of, &["$resource"]);
        toml::Value::from(carrier.table).to_string()
    }

    #[test]
    fn secrets_become_names_of_variables() {
        let secrets = [
            json!({"password": "S3CRET"}),
            json!({"authentication": {"mechanism": "plain", "username": "u", "password": "S3CRET"}}),
            json!({"secret": {"a": ["S3CRET"]}}),
            json!({"headers": {"Authorization": "Bearer S3CRET", "x-key": "S3CRET", "accept": "text/plain"}}),
            json!({"security_token": "S3CRET", "aws_access_key_id": "S3CRET", "key": "S3CRET"}),
            json!({"service_account_json": {"filename": "sa.json", "file": "{\"private_key\":\"S3CRET\"}"}}),
            json!({"keyfile": {"filename": "k.pem", "file": "S3CRET"}}),
            json!({"ssl": {"keyfile": "-----BEGIN PRIVATE KEY-----\nS3CRET"}}),
            json!({"url": "http://user:S3CRET@host:80/path?token=S3CRET&q=1"}),
            json!({"servers": "amqp://u:S3CRET@a,amqp://u:S3/CRET@b", "x": "mongodb://u:p@S3CRET@h/db"}),
            json!({"kafka_ext_headers": [{"kafka_ext_header_key": "api-token", "kafka_ext_header_value": "S3CRET"}]}),
            json!({"pin_password": 123_456, "path": "/x?api_key=S3CRET"}),
        ];
        for secret in secrets {
            let text = carried(&secret, Of::Connection);
            for leaked in ["S3CRET", "CRET@", "123456"] {
                assert!(!text.contains(leaked), "{secret} became {text}");
            }
        }
        let text = carried(&json!({"password": "S3CRET"}), Of::Connection);
        assert!(text.contains(r#"password = { env = "KAFKA_1_PASSWORD" }"#), "{text}");
        let text = carried(&json!({"password": "file:///run/secrets/pw"}), Of::Connection);
        assert!(text.contains(r#"password = { file = "/run/secrets/pw" }"#), "{text}");
    }

    #[test]
    fn all_else_is_carried_over() {
        let text = carried(
            &json!({
                "$resource": "resource:1", "topic": "t", "key": "${clientid}", "partition_key": "k", "batch": 100,
                "ratio": 0.5, "sync": false, "nothing": null, "payload_tmpl": "", "url": "http://host/a@b?q=1",
                "headers": {"content-type": "application/json", "x-client": "${clientid}"}
            }),
            Of::Action,
        );
        assert_eq!(
            text,
            "{ topic = \"t\", key = \"${clientid}\", partition_key = \"k\", batch = 100, ratio = 0.5, sync = false, \
             payload_tmpl = \"\", url = \"http://host/a@b?q=1\", headers = { content-type = \"application/json\", \
             x-client = \"${clientid}\" } }"
        );
    }

    #[test]
    fn deep_values_end_somewhere() {
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!({"a": deep});
        }
        assert_eq!(carried(&deep, Of::Action), "{}");
    }
}
