//! What every store does, whatever it is made of: one function for each promise of the port.
//!
//! A test names where its store is by a [`Ground`] and lets `store_suite!` run all cases, each on a
//! ground of its own. A failed assertion is a failed case.

#![expect(clippy::missing_panics_doc, reason = "a failed assertion is how a case reports")]
#![expect(clippy::missing_errors_doc, reason = "an error of the store fails the case")]

mod accepting;
mod aftermath;
mod apart;
mod batching;
mod beside;
mod changing;
mod facts;
mod feedback;
mod fencing;
mod gates;
mod keeping;
mod outbox;
mod parking;
mod partly;
mod queueing;
mod rates;
mod reading;
mod recording;
mod sample;
mod spelling;
mod suppressing;
mod switches;
mod telling;
mod timing;
mod undoing;

use std::sync::Arc;

use async_trait::async_trait;
use ums_core::{Store, StoreError};

pub use accepting::*;
pub use apart::*;
pub use batching::*;
pub use beside::*;
pub use changing::*;
pub use facts::*;
pub use feedback::*;
pub use fencing::*;
pub use gates::*;
pub use keeping::*;
pub use outbox::*;
pub use parking::*;
pub use partly::*;
pub use queueing::*;
pub use rates::*;
pub use reading::*;
pub use recording::*;
pub use sample::Sample;
pub use spelling::*;
pub use suppressing::*;
pub use switches::*;
pub use telling::*;
pub use timing::*;
pub use undoing::*;

/// Why a case could not go on.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Where a store is.
#[async_trait]
pub trait Ground: Send + Sync {
    /// Opens the store. After it was closed it is opened as by another process: what was durable is there.
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError>;

    /// Opens the store as a second process that lives at the same time as the one that [`Ground::open`] made; none
    /// where there can be no second one.
    async fn open_beside(&self) -> Result<Option<Arc<dyn Store>>, StoreError> {
        Ok(None)
    }
}

/// Makes a test of each case, in a module of that name, on the ground that the expression makes.
#[macro_export]
macro_rules! store_suite {
    ($module:ident, $ground:expr) => {
        $crate::store_suite!(@cases $module, $ground,
            a_message_reads_back_as_it_was_accepted,
            a_message_is_its_tenants_alone,
            the_same_key_replays_and_another_request_conflicts,
            a_key_holds_until_it_is_pruned_and_is_a_tenants_own,
            a_repeated_accept_is_replayed_as_itself,
            concurrent_twins_with_one_key_become_one_message,
            an_end_decided_at_the_door_is_kept,
            a_step_moves_the_message_and_adds_to_its_story,
            a_message_with_every_fact_is_kept,
            a_later_step_keeps_when_it_was_sent,
            an_attempt_is_replaced_in_its_place,
            an_illegal_move_changes_nothing,
            a_step_for_nobody_is_not_found,
            a_step_says_what_is_left_to_be_done,
            a_partly_done_message_waits_under_its_word,
            a_partly_done_message_is_listed_by_its_word,
            a_partly_done_message_is_given_back_with_its_ends,
            a_partly_done_message_is_kept_until_it_has_ended,
            a_partly_done_message_in_hand_takes_no_feedback,
            a_message_may_be_partly_done_at_the_door,
            every_fact_of_an_attempt_is_kept,
            a_report_keeps_the_facts_of_its_attempt,
            an_attempt_with_every_fact_is_kept_however_it_is_written,
            every_reason_for_a_skip_is_kept,
            a_failed_message_can_be_sent_again,
            due_messages_come_by_lane_then_time_then_id,
            a_message_is_claimed_once,
            a_message_put_back_is_due_again,
            an_ended_message_is_never_due,
            the_next_due_time_is_the_earliest_of_all_lanes,
            what_was_answered_outlives_the_process,
            a_dead_process_s_work_is_given_back,
            a_living_process_s_work_is_left_alone,
            a_closed_store_refuses,
            messages_are_listed_newest_first_in_pages,
            messages_are_listed_by_what_they_are,
            breakers_are_kept_by_account,
            recipients_sent_are_counted_by_account_and_time,
            a_store_that_works_passes_its_check,
            a_stale_token_is_refused,
            a_late_write_is_refused_after_the_message_was_given_back,
            a_repeated_step_is_done_once,
            a_repeated_step_is_known_after_the_message_was_claimed,
            an_intent_is_not_good_after_the_message_was_taken_away,
            of_two_acts_on_one_state_one_is_refused,
            acts_are_kept_in_order,
            a_body_is_forgotten_and_the_rest_kept,
            a_large_content_is_read_by_itself,
            a_batch_may_hold_large_messages,
            a_large_body_is_forgotten,
            a_message_may_get_new_time,
            tenants_take_turns_in_a_claim,
            each_lane_has_room_of_its_own,
            the_backlog_is_what_waits,
            what_this_process_does_not_know_is_given_back,
            a_batch_is_stored_whole,
            a_batch_with_one_conflict_stores_nothing,
            a_repeated_batch_is_replayed,
            a_batch_with_twins_stores_nothing,
            old_bodies_are_emptied_and_old_messages_forgotten,
            unfinished_messages_are_kept_until_they_have_ended,
            expired_keys_are_forgotten,
            two_processes_never_claim_the_same_message,
            a_living_process_beside_is_left_alone,
            of_two_processes_that_act_at_once_one_is_refused,
            an_event_comes_to_its_message,
            a_recorded_step_keeps_its_events,
            events_find_their_messages,
            an_event_finds_its_attempt,
            a_refused_step_leaves_nothing,
            a_refused_record_leaves_no_aftermath,
            an_event_told_again_is_kept_once,
            a_repeated_step_is_told_from_another,
            a_parked_event_comes_up_at_its_time,
            what_a_parked_event_says_is_done_once,
            unknown_attempts_are_found_by_address_and_time,
            feedback_cursors_are_kept,
            feedback_outlives_the_process,
            a_listed_address_is_found_in_any_case,
            a_subscriber_is_spared_in_every_spelling,
            a_stored_message_is_stopped_by_the_other_spelling,
            every_spelling_is_listed_and_lifted_together,
            an_unknown_attempt_is_found_by_the_other_spelling,
            the_later_report_counts,
            reports_in_any_order_end_the_same,
            a_lift_alone_is_no_entry,
            entries_end_with_their_time,
            the_list_is_read_in_pages,
            refusals_of_a_faulty_account_are_undone,
            reports_of_a_faulty_account_are_undone,
            an_undo_is_carried_out_again_for_what_comes_late,
            a_refused_step_decides_no_undo,
            an_undo_outlives_the_process,
            a_message_to_a_listed_address_is_not_stored,
            no_intent_is_recorded_for_a_listed_address,
            an_entry_bars_the_messages_of_its_scope_alone,
            unsubscribes_from_lists_stand_side_by_side,
            the_body_of_a_code_is_forgotten_at_its_time,
            an_intent_contacts_its_own_recipients,
            a_step_s_own_entries_count,
            a_repeated_intent_is_known_after_an_opt_out,
            no_message_is_stored_after_the_opt_out,
            a_change_of_the_list_is_told_if_it_has_an_effect,
            however_many_hear_of_an_address_at_once_it_is_told_once,
            endpoints_are_kept_and_changed,
            an_endpoint_is_changed_in_what_is_named,
            changes_of_an_endpoint_at_the_same_time_are_all_kept,
            an_endpoint_is_disabled_only_as_it_was_judged,
            a_claimed_notice_comes_again_after_its_time,
            the_end_of_a_post_is_kept,
            the_next_notice_is_of_an_endpoint_that_takes_some,
            notices_are_listed_by_what_they_are,
            notices_are_posted_again_on_demand,
            a_forgotten_endpoint_is_told_nothing,
            notices_come_with_what_they_tell_of,
            two_processes_never_claim_the_same_notice,
            counts_add_up,
            old_aftermath_is_forgotten,
            a_forgotten_message_takes_its_aftermath,
            provider_switches_are_kept_by_account,
            a_provider_is_brought_back,
            the_last_accepted_call_of_an_account_is_known,
            the_trusted_time_is_kept,
            a_shared_store_tells_the_time,
            what_a_wrong_clock_put_off_is_due_now,
        );
    };
    (@cases $module:ident, $ground:expr, $($case:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() -> $crate::conformance::Outcome {
                    $crate::conformance::$case(&$ground).await
                }
            )+
        }
    };
}
