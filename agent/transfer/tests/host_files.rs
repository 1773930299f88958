//! Questions about files of the node: what is in bounds arrives as it was sent, and nothing else is sent.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use godwit_transfer::{
    Event, FileState, FoundFile, FoundFiles, MAX_HOST_PATH, MAX_OTHER_FILES, MAX_SYMBOL, MAX_WANTED_FILES,
    MAX_WANTED_SYMBOLS, Message, Role, WantedFile, WantedFiles, WantedSymbol,
};
use proptest::prelude::*;
use support::{Pair, hello, manifest, welcome};

fn asking() -> Pair {
    let mut pair = Pair::new();
    pair.source_says(&hello(Role::HostFiles)).unwrap();
    pair.target_says(&welcome()).unwrap();
    pair
}

fn symbols() -> impl Strategy<Value = Vec<WantedSymbol>> {
    let symbol = ("[a-zA-Z_]{1,30}", "[A-Z0-9._]{0,12}");
    prop::collection::vec(
        symbol.prop_map(|(name, version)| WantedSymbol { name, version }),
        0..20,
    )
}

fn wanted() -> impl Strategy<Value = WantedFile> {
    let digest = prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 32..33)];
    let file = ("(/[a-z0-9._-]{1,9}x){1,6}", any::<u64>(), digest, symbols());
    file.prop_map(|(path, size, digest, symbols)| WantedFile {
        path,
        size,
        digest: digest.into(),
        symbols,
    })
}

fn found() -> impl Strategy<Value = FoundFile> {
    let lacks = prop::collection::vec(0..2048_u32, 0..20);
    let build_id = prop::collection::vec(any::<u8>(), 0..65);
    (1..5_i32, any::<u64>(), build_id, any::<bool>(), lacks).prop_map(
        |(state, size, build_id, is_elf, lacks)| FoundFile {
            state,
            size,
            build_id: build_id.into(),
            is_elf,
            lacks,
        },
    )
}

proptest! {
    #[test]
    fn questions_and_answers_arrive_as_they_were_said(
        files in prop::collection::vec(wanted(), 1..20),
        answers in prop::collection::vec(found(), 1..20),
    ) {
        let mut pair = asking();
        let question = Message::WantedFiles(WantedFiles { files });
        let answer = Message::FoundFiles(FoundFiles { files: answers });
        for _ in 0..2 {
            prop_assert_eq!(pair.source_says(&question).unwrap(), Event::Message(question.clone()));
            prop_assert_eq!(pair.target_says(&answer).unwrap(), Event::Message(answer.clone()));
        }
    }
}

fn file(path: &str) -> WantedFile {
    WantedFile {
        path: path.to_owned(),
        ..WantedFile::default()
    }
}

fn question(files: Vec<WantedFile>) -> Message {
    Message::WantedFiles(WantedFiles { files })
}

fn symbol(name: &str, version: &str) -> WantedSymbol {
    WantedSymbol {
        name: name.to_owned(),
        version: version.to_owned(),
    }
}

fn with_symbols(symbols: Vec<WantedSymbol>) -> Message {
    question(vec![WantedFile {
        symbols,
        ..file("/a")
    }])
}

#[test]
fn what_is_out_of_bounds_is_not_sent() {
    let long = "x".repeat(MAX_SYMBOL + 1);
    for wrong in [
        question(vec![]),
        question(vec![file("")]),
        question(vec![file("relative")]),
        question(vec![file("/a/../b")]),
        question(vec![file(&format!("/{}", "x".repeat(MAX_HOST_PATH)))]),
        question(vec![file("/a"); MAX_WANTED_FILES + 1]),
        question(vec![WantedFile {
            digest: vec![1; 31].into(),
            ..file("/a")
        }]),
        with_symbols(vec![symbol("", "V")]),
        with_symbols(vec![symbol(&long, "")]),
        with_symbols(vec![symbol("x", &long)]),
        with_symbols(vec![symbol("x", ""); MAX_WANTED_SYMBOLS + 1]),
    ] {
        let mut pair = asking();
        let error = pair.source.out.send(&wrong).unwrap_err();
        assert_eq!(error.reason(), "MessageField");
    }
    for wrong in [
        vec![],
        vec![FoundFile::default()],
        vec![FoundFile {
            state: 9,
            ..FoundFile::default()
        }],
        vec![FoundFile {
            state: FileState::Differs.into(),
            build_id: vec![0; 65].into(),
            ..FoundFile::default()
        }],
    ] {
        let mut pair = asking();
        pair.source_says(&question(vec![file("/a")])).unwrap();
        let error = pair
            .target
            .out
            .send(&Message::FoundFiles(FoundFiles { files: wrong }));
        assert_eq!(error.unwrap_err().reason(), "MessageField");
    }
}

#[test]
fn what_fits_the_bounds_but_no_frame_is_told() {
    let symbols = vec![symbol(&"x".repeat(MAX_SYMBOL), ""); 17];
    let error = asking().source.out.send(&with_symbols(symbols)).unwrap_err();
    assert_eq!(error.reason(), "MessageTooLong");
}

#[test]
fn nothing_else_is_said_there_and_one_question_at_a_time() {
    let mut pair = asking();
    let same = Message::FoundFiles(FoundFiles {
        files: vec![FoundFile {
            state: FileState::Same.into(),
            ..FoundFile::default()
        }],
    });
    assert!(pair.target.out.send(&same).is_err(), "nobody asked");
    assert!(pair.source.out.send(&manifest(&["redis"])).is_err());
    pair.source_says(&question(vec![file("/a")])).unwrap();
    assert!(pair.source.out.send(&question(vec![file("/a")])).is_err());
    pair.target_says(&same).unwrap();
}

#[test]
fn a_manifest_names_files_that_may_differ_within_bounds() {
    let with = |other_files: Vec<String>| match manifest(&["redis"]) {
        Message::Manifest(manifest) => Message::Manifest(godwit_transfer::Manifest {
            other_files,
            ..manifest
        }),
        other => other,
    };
    let said = |message: &Message| {
        let mut pair = Pair::new();
        pair.source_says(&hello(Role::Migrate)).unwrap();
        pair.target_says(&welcome()).unwrap();
        pair.source
            .out
            .send(message)
            .map(drop)
            .map_err(|error| error.reason())
    };
    assert_eq!(said(&with(vec!["/usr/lib/libfoo.so.2".to_owned()])), Ok(()));
    for wrong in [
        vec!["lib".to_owned()],
        vec!["/a".to_owned(); MAX_OTHER_FILES + 1],
        vec![format!("/{}", "x".repeat(1000)); 20],
    ] {
        assert_eq!(said(&with(wrong)), Err("MessageField"));
    }
}
