//! The tables of `docs/extractors.md` say of every extractor which handlers can have it. The compiler says whether that is true.

use std::{collections::BTreeSet, fs, marker::PhantomData, path::Path};

use kokanee::{
    Ack, Args, Auth, Data, DisconnectReason, Event, EventName, Extension, FromContext, Handshake,
    Namespace, RawEvent, Server, Socket, SocketId, State, Typed, TypedAck,
    client::{self, extract as of_client},
    server::{Kind, extract as of_server},
};

#[derive(serde::Serialize, serde::Deserialize, Event)]
struct Sum(i64, i64);

type T = u32;
type E = Sum;

/// Asks the compiler whether `P` can be a parameter of handlers of the kind `K`: if it can, the constant of the type itself
/// comes before that of the trait.
struct Parameter<K, P>(PhantomData<(K, P)>);

impl<K: Kind, P: FromContext<K>> Parameter<K, P> {
    const IS_POSSIBLE: bool = true;
}

trait Otherwise {
    const IS_POSSIBLE: bool = false;
}

impl<K, P> Otherwise for Parameter<K, P> {}

/// One row for each type: its text, and for each kind whether it can be a parameter.
macro_rules! rows {
    ($kinds:tt: $($parameter:ty),+ $(,)?) => {
        vec![$(rows!(@row $kinds $parameter)),+]
    };
    (@row ($($kind:ty),+) $parameter:ty) => {
        (
            stringify!($parameter).replace(' ', ""),
            vec![$(<Parameter<$kind, $parameter>>::IS_POSSIBLE),+],
        )
    };
}

type Rows = Vec<(String, Vec<bool>)>;

/// The order of the kinds is that of the table's columns.
fn server() -> Rows {
    use of_server::{OnConnect, OnDisconnect, OnEvent};
    rows!((OnConnect, OnEvent, OnDisconnect):
        Socket, SocketId, Namespace, Server, Handshake, Auth<T>, State<T>, Extension<T>, Data<T>, Typed<E>, Args, RawEvent,
        EventName, Ack, TypedAck<E>, DisconnectReason)
}

fn client() -> Rows {
    use of_client::{OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent};
    rows!((OnEvent, OnConnect, OnDisconnect, OnConnectError, OnAttempt):
        client::Socket, State<T>, Data<T>, Typed<E>, Args, RawEvent, EventName, Ack, TypedAck<E>, client::DisconnectReason,
        client::CloseDetails, client::Failure, client::Attempt)
}

/// The cells of a section's first table, without its head.
fn table(page: &str, section: &str) -> Vec<Vec<String>> {
    let (_, text) = page.split_once(section).expect("the section");
    let rows = text.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join("docs/extractors.md")).expect("the page")
}

fn compare(section: &str, expected: &Rows) {
    let said: Rows = table(&page(), section)
        .into_iter()
        .map(|cells| {
            let kinds = &cells[1..cells.len() - 1];
            let is_possible = |cell: &String| match cell.as_str() {
                "yes" => true,
                "–" => false,
                other => panic!("{other:?} in the row of {}", cells[0]),
            };
            let possible = kinds.iter().map(is_possible).collect();
            (cells[0].trim_matches('`').to_owned(), possible)
        })
        .collect();
    assert_eq!(&said, expected, "{section}");
}

#[test]
fn the_table_of_the_server_is_true() {
    compare("## Handlers of the server", &server());
}

#[test]
fn the_table_of_the_client_is_true() {
    compare("## Handlers of the client", &client());
}

#[test]
fn every_extractor_has_a_cost_and_an_error() {
    let named: BTreeSet<String> = table(&page(), "## Cost and errors")
        .iter()
        .flat_map(|cells| cells[0].split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let rows = server().into_iter().chain(client());
    let mut expected: BTreeSet<String> = rows
        .map(|(name, _)| name.trim_start_matches("client::").to_owned())
        .collect();
    expected.extend(["Option<T>", "Result<T, ExtractError>"].map(str::to_owned));
    assert_eq!(named, expected);
}

#[test]
fn a_parameter_may_be_missing_or_an_error_in_every_handler() {
    fn is_parameter<K: Kind, P: FromContext<K>>() {}
    fn of_any_kind<K: Kind, P: FromContext<K>>() {
        is_parameter::<K, Option<P>>();
        is_parameter::<K, Result<P, kokanee::ExtractError>>();
    }
    of_any_kind::<of_server::OnConnect, State<T>>();
    of_any_kind::<of_client::OnEvent, Data<T>>();
}
