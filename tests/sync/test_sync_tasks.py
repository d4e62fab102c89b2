"""The task in which a call runs: code of asyncio and of providers finds what it expects of a task."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from chuk_sessions.sync import background
from chuk_sessions.sync.runner import Runner


@pytest.fixture
def run():
    return Runner().run


def test_code_can_limit_its_time(run):
    async def main():
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(30)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        return asyncio.current_task().cancelling()

    assert run(main()) == 0


def test_code_can_start_tasks(run):
    async def fail():
        raise ValueError("failed")

    async def wait_for_failure():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(30)

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        with pytest.raises(ExceptionGroup):
            await wait_for_failure()
        return [task.result() for task in tasks], await asyncio.gather(asyncio.sleep(0, 7), asyncio.to_thread(abs, -8))

    assert run(main()) == ([0, 1, 2], [7, 8])


def test_code_can_cancel_its_task(run):
    async def main():
        task = asyncio.current_task()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(30)
        assert task.uncancel() == 0
        task.cancel()
        assert task.cancelling() == 1
        task.uncancel()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.sleep(30)

    with pytest.raises(asyncio.CancelledError):
        run(main())


def test_code_can_ask_its_task(run):
    async def main():
        loop, task, done = asyncio.get_running_loop(), asyncio.current_task(), loop_future()
        assert task.get_loop() is loop
        assert task.get_coro().cr_code is main.__code__
        assert task.get_name().endswith("main")
        assert not task.done()
        assert not task.cancelled()
        assert list(task.get_context()) == list(contextvars.copy_context())
        task.add_done_callback(done.set_result)
        task.add_done_callback(done.cancel)
        assert task.remove_done_callback(done.cancel) == 1
        await asyncio.sleep(0)
        return done

    def loop_future():
        return asyncio.get_running_loop().create_future()

    async def outcome(future):
        return await future

    task = run(outcome(run(main())))
    assert task.done()
    assert not task.cancel()


def test_a_callback_that_comes_late_is_called(run):
    async def main():
        return asyncio.current_task()

    async def add(task):
        called = asyncio.get_running_loop().create_future()
        task.add_done_callback(called.set_result)
        return await called is task

    assert run(add(run(main())))


def test_a_future_of_another_loop_is_an_error(run):
    loop = asyncio.new_event_loop()

    async def main():
        await loop.create_future()

    with pytest.raises(RuntimeError, match="not a future of its event loop"):
        run(main())
    loop.close()


def test_one_thread_serves_all_calls(run):
    async def thread():
        return background.current.loop is asyncio.get_running_loop()

    assert run(thread())
    assert Runner().run(thread())


def test_results_and_errors_of_any_type_reach_the_caller(run):
    async def main(error):
        await asyncio.sleep(0)
        raise error

    for error in (KeyError("a"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()):
        with pytest.raises(type(error)) as raised:
            run(main(error))
        assert raised.value is error
