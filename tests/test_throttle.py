"""Progress is written down at once, and then as often as its share of the time allows."""

import time

from ganad_tf.files.throttle import Throttle


def test_writing_down_takes_its_share_of_the_time_and_no_more():
    throttle, costs = Throttle(max_share_of_time=0.05), []

    def work():
        begin = time.perf_counter()
        time.sleep(0.002)
        costs.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    throttle(work)
    assert len(costs) == 1
    while time.perf_counter() - begin < 0.5:
        throttle(work)
    elapsed = time.perf_counter() - begin
    assert len(costs) > 1
    # The last one has its share of the time to come.
    assert sum(costs[:-1]) <= 0.05 * elapsed


def test_work_that_takes_no_time_is_done_every_time():
    throttle, done = Throttle(), []
    for number in range(3):
        throttle(lambda number=number: done.append(number))
        time.sleep(0.001)
    assert done == [0, 1, 2]
