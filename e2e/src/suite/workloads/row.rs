//! One row of the table.

use godwit_crds::checks::CheckInfo;
use serde_json::{Value, json};

/// In what a program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Language {
    C,
    Rust,
    Go,
    Python,
    Java,
    Node,
}

impl Language {
    /// As it is called in the documentation.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Java => "Java",
            Self::Node => "Node.js",
        }
    }

    /// How many of its programs share a container: virtual machines are heavy.
    pub(super) fn together(self) -> usize {
        match self {
            Self::C | Self::Rust | Self::Go => 12,
            Self::Python => 7,
            Self::Java | Self::Node => 5,
        }
    }
}

/// What becomes of a program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// It moves, and finds all that it had. Why that can be is for the documentation.
    Moves(&'static str),
    /// It moves and runs on, but what the feature is for is lost, which the program notices. Why, for the documentation.
    Loses(&'static str),
    /// It is refused by this check, and runs on.
    Refused(&'static CheckInfo),
}

/// A program, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// In what it is written.
    pub(super) language: Language,
    /// Its name among the programs of that language.
    pub(super) program: &'static str,
    /// What it uses, for the documentation; the same words in another language are the same line there.
    pub(super) feature: &'static str,
    /// What becomes of it.
    pub(super) verdict: Verdict,
    /// Its environment.
    pub(super) environment: Option<(&'static str, &'static str)>,
    /// What its container may beyond the usual.
    pub(super) capability: Option<&'static str>,
    /// Whether its container has the runtime's own seccomp profile.
    pub(super) confined: bool,
    /// A program in another container of the pod.
    pub(super) partner: Option<&'static str>,
}

impl Row {
    const fn new(language: Language, program: &'static str, feature: &'static str, verdict: Verdict) -> Self {
        Self {
            language,
            program,
            feature,
            verdict,
            environment: None,
            capability: None,
            confined: false,
            partner: None,
        }
    }

    /// One that moves.
    pub(super) const fn moves(
        language: Language,
        program: &'static str,
        feature: &'static str,
        why: &'static str,
    ) -> Self {
        Self::new(language, program, feature, Verdict::Moves(why))
    }

    /// One that moves and loses what it is about.
    pub(super) const fn loses(
        language: Language,
        program: &'static str,
        feature: &'static str,
        why: &'static str,
    ) -> Self {
        Self::new(language, program, feature, Verdict::Loses(why))
    }

    /// One that is refused.
    pub(super) const fn refused(
        language: Language,
        program: &'static str,
        feature: &'static str,
        check: &'static CheckInfo,
    ) -> Self {
        Self::new(language, program, feature, Verdict::Refused(check))
    }

    /// The same in this environment.
    pub(super) const fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment = Some((name, value));
        self
    }

    /// The same with a capability that containers lack.
    pub(super) const fn may(mut self, capability: &'static str) -> Self {
        self.capability = Some(capability);
        self
    }

    /// The same with the runtime's own seccomp profile.
    pub(super) const fn confined(mut self) -> Self {
        self.confined = true;
        self
    }

    /// The same with a program in a container beside it.
    pub(super) const fn beside(mut self, program: &'static str) -> Self {
        self.partner = Some(program);
        self
    }

    /// Its name in errors.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.language.as_str(), self.program)
    }

    /// The words that start this program, or another of its language.
    fn words(&self, program: &str) -> Vec<String> {
        let words: &[&str] = match self.language {
            Language::C => &["/usr/bin/c-rows"],
            Language::Rust => &["/usr/bin/rust-rows"],
            Language::Go => &["/usr/bin/go-rows"],
            Language::Python => &["/usr/bin/python3", "/rows/rows.py"],
            Language::Java => &[
                "/opt/java/bin/java",
                "-Xmx32m",
                "-XX:+UseSerialGC",
                "-cp",
                "/rows",
                "Rows",
            ],
            Language::Node => &["/usr/bin/node", "/rows/rows.js"],
        };
        let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        words.push(program.to_owned());
        match self.environment {
            Some((name, value)) => {
                let mut with = vec!["/usr/bin/env".to_owned(), format!("{name}={value}")];
                with.append(&mut words);
                with
            }
            None => words,
        }
    }
}

/// The port on which a pod's programs say how they are.
pub(super) const PORT: u16 = 7000;

/// The spec of a pod in which these programs run, in one container but for partners.
pub(super) fn spec(rows: &[&Row]) -> Value {
    let mut command = vec!["/usr/bin/keeper".to_owned(), PORT.to_string()];
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            command.push("--".to_owned());
        }
        command.push(row.program.to_owned());
        command.append(&mut row.words(row.program));
    }
    let capabilities: Vec<&str> = rows.iter().filter_map(|row| row.capability).collect();
    let mut containers = vec![container("main", &command, &capabilities)];
    for row in rows {
        if let Some(partner) = row.partner {
            let mut command = vec![
                "/usr/bin/keeper".to_owned(),
                (PORT + 1).to_string(),
                partner.to_owned(),
            ];
            command.append(&mut row.words(partner));
            containers.push(container("partner", &command, &capabilities));
        }
    }
    let confined = rows.iter().any(|row| row.confined);
    let profile = if confined { "RuntimeDefault" } else { "Unconfined" };
    let security = json!({"seccompProfile": {"type": profile}});
    json!({"containers": containers, "securityContext": security, "volumes": [{"name": "volume", "emptyDir": {}}]})
}

fn container(name: &str, command: &[String], capabilities: &[&str]) -> Value {
    json!({
        "name": name, "image": crate::images::rows::IMAGE, "imagePullPolicy": "Never", "command": command,
        "securityContext": {"capabilities": {"add": capabilities}},
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    })
}
