//! What is done about an error of a database; the tables of the dialects' codes stand in their `codes.rs`.

/// What is done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Others were in the way: the same transaction is written again at once.
    Again,
    /// The connection is of no more use, and another one is opened. Nobody knows what came of a commit on it.
    Reconnect,
    /// The database cannot do it at this time; the same write may pass later.
    Wait,
    /// A row of that key is there: the requests of the group are looked at one by one.
    LookAgain,
    /// The database refuses a value. The request that holds the value is found; a step is written with its texts replaced, a new message is
    /// refused.
    ReplaceTexts,
    /// A start is refused at once, with what to do; a running service waits.
    Refuse(&'static str),
}
