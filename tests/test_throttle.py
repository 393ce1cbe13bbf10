"""Progress is written down at once, and then as often as its share of the time allows."""

import time

from ganad_tf.files import throttle


def test_writing_down_takes_its_share_of_the_time_and_no_more():
    sparingly, costs = throttle.Sparingly(), []

    def work():
        begin = time.perf_counter()
        time.sleep(0.002)
        costs.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    sparingly(work)
    assert len(costs) == 1
    while time.perf_counter() - begin < 0.5:
        sparingly(work)
    elapsed = time.perf_counter() - begin
    assert len(costs) > 1
    # The last one has its share of the time to come.
    assert sum(costs[:-1]) <= throttle.SHARE * elapsed


def test_work_that_takes_no_time_is_done_every_time():
    sparingly, done = throttle.Sparingly(), []
    for number in range(3):
        sparingly(lambda number=number: done.append(number))
        time.sleep(0.001)
    assert done == [0, 1, 2]
