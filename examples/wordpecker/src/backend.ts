import { backend } from './backendService.js';
import { runService } from './lib/service.js';

await runService(backend);
