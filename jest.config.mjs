// Tests are compiled by tsc into build/js and run as ES modules; nothing is transformed at run time.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/build/js/test'],
  testMatch: ['**/*.test.js'],
  transform: {},
  maxWorkers: 1,
}
