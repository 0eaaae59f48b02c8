"""Counts the JUnit files of a test run: summary.py RESULTS NAME=EXIT...

The last line is `N passed, N failed` with `, N skipped` when there are any; the exit status is 0
only when nothing failed. A suite that ended with an error and reported no failed test counts as
one failure, so a build that breaks is never silent.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count(path):
    """(passed, failed, skipped, names of the failed) of one JUnit file."""
    passed, failed, skipped = 0, [], 0
    for case in ElementTree.parse(path).iter('testcase'):
        # ctest marks a test that did not run by its status only.
        status = case.get('status', 'run')
        if case.find('failure') is not None or case.find('error') is not None or status == 'fail':
            failed.append(f'{case.get("classname", "")} {case.get("name")}')
        elif case.find('skipped') is not None or status in ('notrun', 'disabled'):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    results, suites = pathlib.Path(sys.argv[1]), sys.argv[2:]
    passed, failures, skipped = 0, [], 0
    for suite in suites:
        name, _, code = suite.rpartition('=')
        failed = []
        for report in sorted({results / f'{name}.xml', *results.glob(f'{name}-*.xml')}):
            if report.exists():
                ok, failures_here, left_out = count(report)
                passed += ok
                failed += failures_here
                skipped += left_out
        if code != '0' and not failed:
            failed = [f'did not run to its end (exit status {code})']
        failures += [f'{name}: {failure}' for failure in failed]
    for failure in failures:
        print('FAILED', failure)
    print(f'{passed} passed, {len(failures)} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failures else 0


sys.exit(main())
