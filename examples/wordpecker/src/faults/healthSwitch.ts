/** What /health answers: the truth, or a fault. */
export interface HealthSwitch {
  /** `truth`: normal; a number: that status; `hang`: never; `wrong-body`: 200 with another service's words. */
  mode: 'truth' | 'hang' | 'wrong-body' | number;
}
