//! Many files as few questions, each of which fits into a frame, and their answers put together again. Pure.

use std::collections::BTreeSet;

use godwit_preflight::files::{Found, HostFile, Other, Symbol};
use godwit_transfer::{
    FileState, FoundFile, MAX_HOST_PATH, MAX_SYMBOL, MAX_WANTED_FILES, MAX_WANTED_SYMBOLS, WantedFile,
    WantedFiles, WantedSymbol,
};

/// Bytes of a question, roughly; a frame takes twice as much.
const ROOM: usize = 32 << 10;
/// Bytes of a file or symbol in a question beside its names.
const OVERHEAD: usize = 64;

/// A question, with what its files are about: which of the source's files, and which symbols.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    pub(super) wanted: WantedFiles,
    about: Vec<(usize, Vec<Symbol>)>,
}

/// What is asked first: of each file alone whether it is the same. A path that no question can hold is left out, and stays incomparable.
pub(super) fn first(files: &[HostFile]) -> Vec<Question> {
    let all = files.iter().enumerate().map(|(at, file)| (at, file, Vec::new()));
    packed(all)
}

/// What is asked then: of files that differ, which symbols they lack. Symbols of names that no question can hold are taken for found.
pub(super) fn symbols(files: &[HostFile], found: &[Found]) -> Vec<Question> {
    let mut asked = Vec::new();
    for (at, (file, found)) in files.iter().zip(found).enumerate() {
        if !matches!(found, Found::Differs(other) if other.is_elf) {
            continue;
        }
        let needed: BTreeSet<&Symbol> = file.needs.iter().map(|need| &need.symbol).collect();
        let mut part = Vec::new();
        let mut length = 0;
        for symbol in needed {
            if symbol.name.is_empty() || symbol.name.len().max(symbol.version.len()) > MAX_SYMBOL {
                continue;
            }
            let more = symbol.name.len() + symbol.version.len() + OVERHEAD;
            if !part.is_empty() && length + more > ROOM / 2 {
                asked.push((at, file, std::mem::take(&mut part)));
                length = 0;
            }
            length += more;
            part.push(symbol.clone());
        }
        if !part.is_empty() {
            asked.push((at, file, part));
        }
    }
    packed(asked.into_iter())
}

fn packed<'a>(asked: impl Iterator<Item = (usize, &'a HostFile, Vec<Symbol>)>) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut open = Question {
        wanted: WantedFiles::default(),
        about: Vec::new(),
    };
    let (mut length, mut symbols) = (0, 0);
    for (at, file, of_it) in asked {
        if file.on_node.len() > MAX_HOST_PATH || !file.on_node.starts_with('/') {
            continue;
        }
        let names: usize = of_it
            .iter()
            .map(|it| it.name.len() + it.version.len() + OVERHEAD)
            .sum();
        let more = file.on_node.len() + OVERHEAD + names;
        let full = length + more > ROOM
            || open.about.len() >= MAX_WANTED_FILES
            || symbols + of_it.len() > MAX_WANTED_SYMBOLS;
        if full && !open.about.is_empty() {
            questions.push(std::mem::replace(
                &mut open,
                Question {
                    wanted: WantedFiles::default(),
                    about: Vec::new(),
                },
            ));
            (length, symbols) = (0, 0);
        }
        length += more;
        symbols += of_it.len();
        open.wanted.files.push(WantedFile {
            path: file.on_node.clone(),
            size: file.content.as_ref().map_or(0, |content| content.size),
            digest: file
                .content
                .as_ref()
                .map(|content| content.digest.to_vec().into())
                .unwrap_or_default(),
            symbols: of_it.iter().map(wire).collect(),
        });
        open.about.push((at, of_it));
    }
    if !open.about.is_empty() {
        questions.push(open);
    }
    questions
}

fn wire(symbol: &Symbol) -> WantedSymbol {
    WantedSymbol {
        name: symbol.name.clone(),
        version: symbol.version.clone(),
    }
}

impl Question {
    /// Adds the answer to what is known of the files; false if it is none to this question.
    pub(super) fn learn(&self, answer: &[FoundFile], found: &mut [Found]) -> bool {
        if answer.len() != self.about.len() {
            return false;
        }
        for ((at, symbols), answer) in self.about.iter().zip(answer) {
            let Some(known) = found.get_mut(*at) else {
                return false;
            };
            let lacks: Option<BTreeSet<Symbol>> = answer
                .lacks
                .iter()
                .map(|place| symbols.get(usize::try_from(*place).ok()?).cloned())
                .collect();
            let Some(lacks) = lacks else {
                return false;
            };
            let now = match answer.state() {
                FileState::Same => Found::Same,
                FileState::Missing => Found::Missing,
                FileState::Incomparable | FileState::Unspecified => Found::Incomparable,
                FileState::Differs => {
                    let mut all = lacks;
                    if let Found::Differs(other) = &mut *known {
                        all.append(&mut other.lacks);
                    }
                    Found::Differs(Other {
                        size: answer.size,
                        build_id: (!answer.build_id.is_empty()).then(|| answer.build_id.to_vec()),
                        is_elf: answer.is_elf,
                        lacks: all,
                    })
                }
            };
            *known = now;
        }
        true
    }
}

/// What this node answers about one file.
pub(super) fn told(found: &Found, symbols: &[Symbol]) -> FoundFile {
    let plain = |state: FileState| FoundFile {
        state: state.into(),
        ..FoundFile::default()
    };
    match found {
        Found::Same => plain(FileState::Same),
        Found::Missing => plain(FileState::Missing),
        Found::Incomparable => plain(FileState::Incomparable),
        Found::Differs(other) => {
            let lacking = symbols
                .iter()
                .enumerate()
                .filter(|(_, symbol)| other.lacks.contains(symbol));
            FoundFile {
                size: other.size,
                build_id: other.build_id.clone().unwrap_or_default().into(),
                is_elf: other.is_elf,
                lacks: lacking.filter_map(|(at, _)| u32::try_from(at).ok()).collect(),
                ..plain(FileState::Differs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use godwit_preflight::files::{Content, Need};

    use super::*;

    fn file(path: &str, symbols: &[String]) -> HostFile {
        let need = |name: &String| Need {
            symbol: Symbol {
                name: name.clone(),
                version: "V".to_owned(),
            },
            object: "/app".to_owned(),
            user: 0,
            unbound: true,
        };
        HostFile {
            path: format!("/in{path}"),
            on_node: path.to_owned(),
            content: Some(Content {
                size: 5,
                digest: [1; 32],
                build_id: None,
            }),
            users: Vec::new(),
            needs: symbols.iter().map(need).collect(),
        }
    }

    /// A node that has `other` in the place of each file.
    fn answers(question: &Question, other: &Found) -> Vec<FoundFile> {
        let of = |file: &WantedFile| {
            let symbols: Vec<Symbol> = file.symbols.iter().map(symbol_of).collect();
            told(other, &symbols)
        };
        question.wanted.files.iter().map(of).collect()
    }

    fn symbol_of(wire: &WantedSymbol) -> Symbol {
        Symbol {
            name: wire.name.clone(),
            version: wire.version.clone(),
        }
    }

    #[test]
    fn however_many_files_and_symbols_there_are_every_one_is_asked_for_once_in_questions_that_fit() {
        let names: Vec<String> = (0..5_000).map(|number| format!("symbol_{number:05}")).collect();
        let files: Vec<HostFile> = (0..600)
            .map(|number| {
                file(
                    &format!("/lib/{number:03}"),
                    if number == 7 { &names } else { &[] },
                )
            })
            .collect();
        let lacking: BTreeSet<Symbol> = [0, 77, 4_999]
            .map(|at: usize| Symbol {
                name: names[at].clone(),
                version: "V".to_owned(),
            })
            .into();
        let other = Found::Differs(Other {
            size: 9,
            build_id: Some(vec![3]),
            is_elf: true,
            lacks: lacking.clone(),
        });
        let mut found = vec![Found::Incomparable; files.len()];
        let asked = first(&files);
        assert_eq!(asked.iter().map(|it| it.about.len()).sum::<usize>(), 600);
        assert!(asked.len() > 1);
        for question in &asked {
            assert!(question.learn(&answers(question, &other), &mut found));
        }
        let more = symbols(&files, &found);
        let all: usize = more
            .iter()
            .flat_map(|it| &it.wanted.files)
            .map(|it| it.symbols.len())
            .sum();
        assert_eq!(all, 5_000);
        for question in &more {
            assert!(question.wanted.files.len() <= MAX_WANTED_FILES);
            assert!(question.learn(&answers(question, &other), &mut found));
        }
        for (number, found) in found.iter().enumerate() {
            let Found::Differs(found) = found else {
                panic!("{found:?}");
            };
            assert_eq!(found.lacks.len(), if number == 7 { 3 } else { 0 });
        }
    }

    #[test]
    fn files_that_are_the_same_are_asked_for_no_symbols_and_long_paths_for_nothing() {
        let files = [
            file("/lib/a", &["x".to_owned()]),
            file(&format!("/{}", "x".repeat(2_000)), &[]),
        ];
        let mut found = vec![Found::Incomparable; 2];
        let asked = first(&files);
        assert_eq!(asked.len(), 1);
        assert!(asked[0].learn(&answers(&asked[0], &Found::Same), &mut found));
        assert_eq!(found, [Found::Same, Found::Incomparable]);
        assert_eq!(symbols(&files, &found), []);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_none() {
        let files = [file("/lib/a", &["x".to_owned()])];
        let mut found = vec![Found::Incomparable];
        let question = &first(&files)[0];
        assert!(!question.learn(&[], &mut found));
        let lacks = FoundFile {
            lacks: vec![0],
            ..told(&Found::Differs(Other::default()), &[])
        };
        assert!(!question.learn(&[lacks], &mut found));
        assert_eq!(found, [Found::Incomparable]);
    }
}
