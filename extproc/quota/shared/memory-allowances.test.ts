import { startMs } from '../testing.ts';
import { MemoryAllowances } from './memory-allowances.ts';
import { testAllowanceStore } from './testing/allowance-store-suite.ts';

testAllowanceStore({
  name: 'in memory',
  isSimulated: true,
  start: async () => {
    let nowMs = startMs;
    return {
      store: new MemoryAllowances(() => nowMs),
      nowMs: async () => nowMs,
      pass: async (ms) => {
        nowMs += ms;
      },
    };
  },
});
