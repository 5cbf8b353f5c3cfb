//! Tests of the decision core: rows written by hand, a product of situations beside an oracle, and random histories.

mod aftermath;
mod before;
mod history;
mod life;
mod oracle;
mod partly;
mod reports;
mod stories;
mod table;
mod world;
