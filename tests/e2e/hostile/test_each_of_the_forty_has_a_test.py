"""The forty bad inputs and faults that the daemon promises to bear, and the tests of each.

A test is named as pytest does, FILE::TEST or FILE::TEST[CASE], from the root of the tests; a test
in C by its file and function. What is renamed or removed must not leave a fault without its test.
"""

import pathlib
import re

import pytest

pytestmark = pytest.mark.not_under("address", "thread", because="it reads the names of tests")

TESTS = pathlib.Path(__file__).resolve().parents[2]

MESSAGES = "e2e/trainer/test_malformed_messages_do_no_harm.py::"
GARBLED = MESSAGES + "test_malformed_messages_do_no_harm"
CONTROL = MESSAGES + "test_control_garbage_is_refused"
DATA = "e2e/hostile/test_nastier_data_does_no_harm.py::test_nastier_data_does_no_harm"
TALK = "e2e/hostile/test_nastier_control_does_no_harm.py::test_nastier_control_does_no_harm"
PROCESSES = "e2e/hostile/test_faults_of_processes_do_no_harm.py::"
WRITERS = "e2e/trainer/test_another_writer_is_refused.py::"
ABSENT = "e2e/trainer/test_client_without_daemon_does_not_hurt.py::"
HTTP = "e2e/read/test_http.py::"
RICHNESS = "unit/daemon/core/measure/test_richness.c::"
FAULTS = "unit/daemon/store/test_store_faults.c::"

FORTY = {
    # ---- frames
    1: ("a wrong magic or version", f"{GARBLED}[magic]", f"{GARBLED}[a later version]",
        MESSAGES + "test_versions_that_do_not_meet_are_named"),
    2: ("a header of other than 64 bytes", f"{GARBLED}[a short header]",
        f"{GARBLED}[a long header]", f"{GARBLED}[an empty header]"),
    3: ("n * p * size beyond 64 bits", f"{GARBLED}[n * p * size beyond 64 bits]",
        f"{DATA}[one feature of 4,294,967,295 rows]"),
    4: ("a frame of another length than its header says", f"{GARBLED}[a short frame]",
        f"{GARBLED}[more rows than bytes]", f"{GARBLED}[fewer rows than bytes]"),
    5: ("n = 0 is nothing; p = 0 or C = 0 is refused", f"{DATA}[64 layers of no rows]",
        f"{GARBLED}[no features]", f"{GARBLED}[no outputs]"),
    6: ("a claim of 4 GiB", MESSAGES + "test_a_claim_of_four_gigabytes_is_cut"),
    7: ("frames with MORE and no end", f"{GARBLED}[frames without end]",
        "e2e/trainer/test_a_message_without_an_end_is_cut.py::"
        "test_a_message_without_an_end_is_cut_and_its_memory_comes_back"),
    8: ("missing or extra frames", f"{GARBLED}[a missing frame]", f"{GARBLED}[a frame too many]"),
    9: ("a label outside of [0, classes)", f"{GARBLED}[a label out of range]",
        f"{DATA}[a label of 2^31]"),
    10: ("an unknown dtype", f"{GARBLED}[an unknown dtype]", f"{GARBLED}[labels as features]"),
    11: ("two writers of one run and attempt", WRITERS + "test_another_writer_is_refused",
         WRITERS + "test_a_newer_attempt_fences_the_older_one"),
    12: ("a sequence seen before", MESSAGES + "test_sent_twice_is_stored_once"),
    13: ("a gap", MESSAGES + "test_a_gap_is_said"),
    14: ("an absurd jump", f"{GARBLED}[an absurd jump of the rows]",
         f"{GARBLED}[an absurd jump of the number]", f"{TALK}[2^53 - 1 rows offered]"),
    15: ("a batch behind its checkpoint", MESSAGES + "test_sent_twice_is_stored_once"),
    16: ("p or C changes in mid-run", "e2e/trainer/test_wrong_shapes_are_refused_with_a_clear_error"
         ".py::test_wrong_shapes_are_refused_with_a_clear_error"),
    17: ("a checkpoint again with other content", f"{TALK}[a mark again with another step]",
         MESSAGES + "test_sent_twice_is_stored_once"),
    # ---- processes
    18: ("200 connections that never speak",
         MESSAGES + "test_200_connections_that_never_speak_harm_nobody"),
    19: ("no descriptors left",
         HTTP + "test_without_descriptors_nothing_spins_and_who_is_in_is_served",
         "e2e/service/test_readers_leave_room_for_trainers.py::"
         "test_a_trainer_connects_beside_more_readers_than_the_usual_limit_has_files",
         "e2e/service/test_descriptors_run_out.py::"
         "test_connections_that_say_nothing_take_no_descriptor_of_others[ipc]"),
    20: ("the daemon stands still and goes on",
         PROCESSES + "test_a_daemon_that_stood_still_goes_on_where_it_was",
         ABSENT + "test_a_stopped_daemon_does_not_hurt"),
    21: ("killed between commit and acknowledgement",
         "e2e/durable/test_kill_nine_loses_nothing_acknowledged.py::"
         "test_kill_nine_loses_nothing_acknowledged",
         "e2e/trainer/test_ranks_of_a_job_make_one_point.py::"
         "test_a_mark_that_is_on_disk_is_acknowledged_again_to_each"),
    22: ("a trainer killed in mid-batch", ABSENT + "test_a_run_whose_trainer_is_killed_is_lost"),
    23: ("a fork in the trainer", ABSENT + "test_a_forked_child_is_silent"),
    24: ("1,000 reconnections", PROCESSES + "test_1000_connections_that_come_and_go",
         "e2e/service/test_many_trainers.py::test_a_thousand_trainers_a_second_come_and_go"),
    25: ("a second daemon on the same state",
         "e2e/service/test_second_daemon_refuses_by_name.py::"
         "test_second_daemon_refuses_by_name"),
    # ---- numbers
    26: ("one NaN", "e2e/trainer/test_a_nan_refuses_the_batch_whole.py::"
         "test_a_nan_refuses_the_batch_whole"),
    27: ("infinity, an overflow of f16, 1e30 in f32", f"{DATA}[f16 that overflowed]",
         f"{DATA}[f32 of 1e30]", RICHNESS + "huge_and_tiny_magnitudes_are_the_reference"),
    28: ("constant or zero features", "e2e/trainer/test_a_nan_refuses_the_batch_whole.py::"
         "test_values_that_do_not_vary_give_null_and_not_nan",
         RICHNESS + "features_or_outputs_that_do_not_vary_give_null"),
    29: ("fewer rows than features, columns twice",
         RICHNESS + "fewer_rows_than_features_are_no_exception",
         RICHNESS + "duplicate_columns_are_the_reference"),
    30: ("a mean of 1e6 standard deviations",
         RICHNESS + "d_lr_of_f32_rows_is_the_reference_at_any_mean",
         RICHNESS + "low_precision_is_a_mean_that_leaves_few_digits"),
    31: ("denormals and -0.0", f"{DATA}[f32 denormals]",
         RICHNESS + "denormals_and_minus_zero_are_numbers"),
    32: ("LAPACK does not converge", RICHNESS + "outputs_that_lapack_refuses_give_null_and_keep_pr",
         "unit/daemon/core/measure/test_spectrum.c::a_spectrum_that_cannot_be_made_is_flagged"),
    # ---- JSON, HTTP, files
    33: ("depth 1,001, 16 MiB, a million keys", f"{CONTROL}[a thousand levels]",
         f"{CONTROL}[more than 1 MiB]",
         PROCESSES + "test_a_million_keys_are_refused_before_they_are_read"),
    34: ("text behind it, keys twice, NUL, no UTF-8, 1e999, 2^53 + 1",
         f"{CONTROL}[something behind it]", f"{CONTROL}[a key twice]", f"{CONTROL}[a NUL]",
         f"{CONTROL}[no UTF-8]", f"{CONTROL}[a number beyond doubles]",
         f"{CONTROL}[a number beyond 2^53]"),
    35: ("ids that look like paths", MESSAGES + "test_a_run_id_never_becomes_a_path",
         HTTP + "test_tricks_with_paths_find_nothing"),
    36: ("one byte a second, idle after the upgrade",
         HTTP + "test_half_a_request_a_byte_a_second_is_cut",
         HTTP + "test_two_hundred_idle_connections_and_websockets_hold_nobody_up"),
    37: ("a subscriber that never reads",
         "e2e/read/test_malformed_requests_do_no_harm.py::"
         "test_a_reader_that_asks_and_never_reads_is_bounded",
         "e2e/read/test_http_api.py::"
         "test_readers_that_take_nothing_do_not_grow_the_daemon_and_are_cut"),
    38: ("foreign Host and Origin, no token", HTTP + "test_a_foreign_host_is_refused",
         HTTP + "test_a_foreign_or_look_alike_origin_is_refused",
         HTTP + "test_methods_that_change_are_denied",
         HTTP + "test_without_a_token_nothing_of_the_runs_is_told"),
    39: ("a full disk, errors of the disk, short writes",
         "e2e/durable/test_a_full_disk_delays_and_heals.py::test_a_full_disk_delays_and_heals",
         PROCESSES + "test_a_limit_of_file_sizes_is_a_full_disk",
         FAULTS + "a_full_disk_at_any_write_heals",
         FAULTS + "a_disk_error_at_any_write_or_sync_is_told"),
    40: ("a damaged store at the start",
         "unit/daemon/store/test_store.c::a_damaged_file_is_told_and_set_aside"),
}


@pytest.fixture
def the_training_beside_it_is_unharmed():
    """Nothing runs here."""


def stands_in(text, function, case):
    """Whether the file's text has the function, and its case as a word or an element."""
    found = re.search(rf"^(def|static void) {re.escape(function)}\(", text, re.M)
    return found and (case is None or f'"{case}"' in text)


@pytest.mark.parametrize("number", range(1, 41))
def test_each_of_the_forty_has_a_test(number):
    _, *tests = FORTY[number]
    assert tests
    for name in tests:
        path, function, case = re.fullmatch(r"(.+?)::(\w+)(?:\[(.+)\])?", name).groups()
        assert stands_in((TESTS / path).read_text(), function, case), name
