import { frontend } from './frontendService.js';
import { runService } from './lib/service.js';

await runService(frontend);
